"""List the optional reference data: which are present, which are absent, and why they are not in the repository."""

from helpers.optional import OPTIONAL, SHARED, absent


def main():
    print(f"optional reference data, looked for in {SHARED / 'data'}")
    for name, (what, source) in OPTIONAL.items():
        print(f"{'absent' if absent(name) else 'there ':6}  {name:34} {what}; from {source}")
    print("Tests that need absent data are skipped with this reason; everything else is in the repository.")


if __name__ == "__main__":
    main()
