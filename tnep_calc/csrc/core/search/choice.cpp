// The neighbour search of the chosen instruction set.
#include "core/common/choice.h"
#include "core/common/macros.h"
#include "core/search/grid.h"

namespace tnep {

#define TNEP_DECLARE(set)                                     \
  namespace set {                                             \
  int64_t search(const Grid&, int64_t, int64_t, EdgeBuffer&); \
  }
TNEP_SETS(TNEP_DECLARE)

#define TNEP_ENTRY(set) {#set, &set::search},
SearchFunction search_function() { return chosen<SearchFunction>({TNEP_SETS(TNEP_ENTRY)}); }

}  // namespace tnep
