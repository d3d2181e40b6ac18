#include "codec/nnc/topology_write.h"

#include "codec/nnc/unit_write.h"

void topology_write(struct writer *out)
{
    /* storage format, compression format, an empty st(v) */
    static const uint8_t empty[3] = {0, 0, 0};
    unit_write(out, NNR_TPL, (struct bytes){empty, sizeof empty},
               (struct bytes){NULL, 0});
}
