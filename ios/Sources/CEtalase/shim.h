#include "../../../ffi/include/etalase.h"
