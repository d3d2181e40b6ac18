/* Makes the nth allocation of the code under test fail. A program that uses it
 * is linked with ALLOC_FAIL_WRAP; libraries' own allocations are not
 * touched. */
#ifndef TESTS_SUPPORT_ALLOC_FAIL_H
#define TESTS_SUPPORT_ALLOC_FAIL_H

#include <stdbool.h>

/* The allocation after so many others fails, and all after it. */
void alloc_fail_after(unsigned count);

/* No allocation fails any more. True when one did. */
bool alloc_fail_stop(void);

#endif
