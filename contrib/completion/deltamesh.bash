# bash completion for deltamesh(1)

_deltamesh_options() {
    case $1 in
    init) echo --fleet ;;
    invite) echo --address ;;
    join) echo --timeout --no-wait ;;
    keys) echo --fleet --passphrase-file --no-passphrase ;;
    publish) echo --meta --parent --key --no-release --wait --timeout ;;
    release) echo --channel --key ;;
    export) echo --output --timeout ;;
    fleet) echo --behind ;;
    watch) echo --logs ;;
    gc) echo --dry-run ;;
    diff) echo --output --speed --max-rank --threads ;;
    patch) echo --output --in-place --threads ;;
    inspect) echo --base --target ;;
    bench) echo --max-rank --threads ;;
    esac
}

_deltamesh() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local verbs="init invite join keys publish release versions show export
        status peers fleet watch verify gc metrics diff patch inspect bench"
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs --help --version" -- "$word")
        return
    fi
    case $before in
    --speed)
        mapfile -t COMPREPLY < <(compgen -W "auto fast small" -- "$word")
        return
        ;;
    keys)
        mapfile -t COMPREPLY < <(compgen -W "list backup restore" -- "$word")
        return
        ;;
    --max-rank | --threads | --timeout | --fleet | --channel | --meta | \
        --parent | --address)
        return
        ;;
    esac
    case $word in
    -*)
        mapfile -t COMPREPLY < <(compgen -W "$(_deltamesh_options \
            "${COMP_WORDS[1]}") --json --control --help" -- "$word")
        return
        ;;
    esac
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
}

complete -F _deltamesh deltamesh
