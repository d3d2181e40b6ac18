# shellcheck shell=sh
# For scripts that run a conformance program over folders of vectors: prints a
# line of TAP with its counts. To be sourced; number counts the lines.
number=0

# run_vectors PROGRAM FOLDER NAME
run_vectors()
{
    number=$((number + 1))
    out=$("$1" "$2" 2>&1)
    rc=$?
    printf '%s\n' "$out" | sed 's/^/# /'
    result='not ok'
    count=$(printf '%s\n' "$out" | tail -n 1)
    case $count in
    '0 passed'*) ;;
    *) [ $rc -eq 0 ] && result=ok ;;
    esac
    echo "$result $number - $3: $count"
}

# skip_vectors NAME WHY
skip_vectors()
{
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}
