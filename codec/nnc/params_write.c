#include "codec/nnc/params_write.h"

#include "codec/nnc/bit_put.h"
#include "codec/nnc/unit_write.h"

/* topology_carriage_flag; no sparsification, pruning, unification and
 * decomposition maps; method: scalar uniform */
#define MPS_FIRST 0x81u

void params_write(struct writer *out, uint8_t profile, uint8_t density,
                  bool parents)
{
    uint8_t buf[8];
    struct writer wr;
    struct bit_put bp;
    writer_init(&wr, buf, sizeof buf);
    bit_put_init(&bp, &wr);
    bit_put_u(&bp, MPS_FIRST, 8);
    bit_put_u(&bp, 0, 1); /* mps_topology_indexed_reference_flag */
    if (profile == 1) {
        bit_put_u(&bp, 0, 3); /* no base model, no performance */
        bit_put_u(&bp, parents, 1);
        bit_put_u(&bp, 0, 3); /* nnr_pre_flag or reserved; reserved */
    } else {
        bit_put_u(&bp, 0, 7); /* reserved */
    }
    bit_put_u(&bp, density, 3);
    bit_put_u(&bp, 0, 13); /* mps_quantization_parameter */
    bit_put_align(&bp);
    if (writer_status(&wr))
        writer_fail(out, writer_status(&wr));
    unit_write(out, NNR_MPS, writer_view(&wr), (struct bytes){NULL, 0});
}
