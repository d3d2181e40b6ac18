# bash completion for deltamesh(1)

_deltamesh_nnc_rules() {
    echo --base --prev --error --qp --step --bits --max-error --vector-error \
        --vector-qp --dq --no-dq --codebook --no-codebook --row-skip \
        --no-row-skip --tca --no-tca --sparsity --scan --lambda --density \
        --profile --device --lattice --low-rank
}

_deltamesh_options() {
    case $1 in
    init) echo --fleet ;;
    invite) echo --address ;;
    join) echo --timeout --no-wait ;;
    keys) echo --fleet --passphrase-file --no-passphrase ;;
    publish) echo --meta --parent --key --no-release --wait --timeout \
        --quantize --check --check-min --check-timeout --nnc --base --values ;;
    release) echo --channel --key ;;
    export) echo --output --timeout --nnc $(_deltamesh_nnc_rules) ;;
    fleet) echo --behind ;;
    watch) echo --logs ;;
    gc) echo --dry-run ;;
    diff) echo --output --speed --max-rank --threads ;;
    patch) echo --output --in-place --threads ;;
    inspect) echo --base --target ;;
    nnc) echo --output --like --values --threads $(_deltamesh_nnc_rules) ;;
    bench) echo --max-rank --threads ;;
    esac
}

_deltamesh() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local verbs="init invite join keys publish release versions show export
        status peers fleet watch verify gc metrics diff patch inspect nnc
        bench"
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
    nnc)
        mapfile -t COMPREPLY < <(compgen -W "encode decode inspect" -- "$word")
        return
        ;;
    --values)
        mapfile -t COMPREPLY < <(compgen -W "as-sent new difference" -- "$word")
        return
        ;;
    --quantize)
        compopt -o nospace 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -W \
            "auto qp= max-error= target-ratio=" -- "$word")
        return
        ;;
    --max-rank | --threads | --timeout | --fleet | --channel | --meta | \
        --parent | --address | --check | --check-min | --check-timeout | \
        --error | --qp | --step | --bits | --max-error | --vector-error | \
        --vector-qp | --sparsity | --scan | --lambda | --density | \
        --profile | --device | --low-rank)
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
