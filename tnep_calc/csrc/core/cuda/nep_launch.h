// Launch of the kernels of NEP and TNEP for one l_max, defined in nep_order.cu.
#pragma once

#include "core/cuda/nep.h"

TNEP_BEGIN

template <int L, class R>
void launch(const Model<R>& m, Task task, const DeviceEdges& e, const DeviceOutputs<R>& out, const Plan& p,
            char* global, void* stream);

TNEP_END
