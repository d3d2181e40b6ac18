/* What a build --without-nnc has in place of the nnc verb and of publish and
 * export of NNC streams. */
#include "daemon/ctl_publish_nnc.h"

static int refuse(const char *verb)
{
    return ctl_fail(verb, CTL_FAILED,
                    "this build reads and writes no NNC streams (it was "
                    "configured --without-nnc)");
}

int ctl_nnc(int argc, char **argv)
{
    (void)argc;
    return refuse(argv[0]);
}

int ctl_export_nnc(int argc, char **argv)
{
    (void)argc;
    return refuse(argv[0]);
}

int ctl_publish_nnc(struct ctl *ctl, const struct publish_nnc *request,
                    int *fds, char **names, size_t max, size_t *count)
{
    (void)request;
    (void)fds;
    (void)names;
    (void)max;
    (void)count;
    return refuse(ctl->verb);
}
