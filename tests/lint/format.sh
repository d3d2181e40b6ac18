#!/bin/sh
# Sources are as clang-format 14 writes them; text files have no trailing
# blanks.
set -u
cd "${DM_SRCDIR:-$(dirname "$0")/../..}" || exit 1
echo "1..2"
if command -v clang-format-14 >/dev/null; then
    bad=$(find codec protocol store daemon tests contrib -name '*.[ch]' |
        LC_ALL=C sort | xargs clang-format-14 --dry-run 2>&1 |
        grep -E 'warning:' | cut -d: -f1 | LC_ALL=C sort -u)
    if [ -z "$bad" ]; then
        echo "ok 1 - clang-format"
    else
        echo "not ok 1 - clang-format"
        echo "$bad" | sed 's/^/# run clang-format -i on /'
    fi
else
    echo "ok 1 - clang-format # SKIP clang-format is not installed"
fi
bad=$(find . \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.md' \
    -o -name '*.inc' -o -name '*.ac' -o -name '*.am' -o -name '*.varlink' \) \
    -not -path './build*' -not -path './autom4te.cache/*' |
    LC_ALL=C sort | xargs grep -nE '[[:blank:]]+$' | cut -d: -f1,2)
if [ -z "$bad" ]; then
    echo "ok 2 - no trailing blanks"
else
    echo "not ok 2 - no trailing blanks"
    echo "$bad" | sed 's/^/# /'
fi
