# fish completion for deltamesh(1)

set -l verbs init invite join keys publish release versions show export status \
    peers fleet watch verify gc metrics diff patch inspect nnc bench

function __deltamesh_verb
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test $words[2] = $argv[1]
end

complete -c deltamesh -n "not __fish_seen_subcommand_from $verbs" -f -a "$verbs"
complete -c deltamesh -l json -d 'one line of JSON'
complete -c deltamesh -l control -r -d 'control socket'
complete -c deltamesh -l help -d 'how the verb is used'
complete -c deltamesh -n '__deltamesh_verb init' -l fleet -x
complete -c deltamesh -n '__deltamesh_verb invite' -l address -x
complete -c deltamesh -n '__deltamesh_verb join' -l timeout -x
complete -c deltamesh -n '__deltamesh_verb join' -l no-wait
complete -c deltamesh -n '__deltamesh_verb keys' -a 'list backup restore'
complete -c deltamesh -n '__deltamesh_verb keys' -l fleet -x
complete -c deltamesh -n '__deltamesh_verb keys' -l passphrase-file -r
complete -c deltamesh -n '__deltamesh_verb keys' -l no-passphrase
complete -c deltamesh -n '__deltamesh_verb publish' -l meta -x
complete -c deltamesh -n '__deltamesh_verb publish' -l parent -x
complete -c deltamesh -n '__deltamesh_verb publish' -l key -r
complete -c deltamesh -n '__deltamesh_verb publish' -l no-release
complete -c deltamesh -n '__deltamesh_verb publish' -l wait
complete -c deltamesh -n '__deltamesh_verb publish' -l timeout -x
complete -c deltamesh -n '__deltamesh_verb publish' -l quantize -x \
    -a 'auto qp= max-error= target-ratio='
complete -c deltamesh -n '__deltamesh_verb publish' -l check -x
complete -c deltamesh -n '__deltamesh_verb publish' -l check-min -x
complete -c deltamesh -n '__deltamesh_verb publish' -l check-timeout -x
complete -c deltamesh -n '__deltamesh_verb publish' -l nnc -r
complete -c deltamesh -n '__deltamesh_verb publish' -l base -x
complete -c deltamesh -n '__deltamesh_verb publish' -l values -x -a 'as-sent new difference'
complete -c deltamesh -n '__deltamesh_verb release' -l channel -x
complete -c deltamesh -n '__deltamesh_verb release' -l key -r
complete -c deltamesh -n '__deltamesh_verb export' -s o -l output -r
complete -c deltamesh -n '__deltamesh_verb export' -l timeout -x
complete -c deltamesh -n '__deltamesh_verb fleet' -l behind
complete -c deltamesh -n '__deltamesh_verb watch' -l logs
complete -c deltamesh -n '__deltamesh_verb gc' -l dry-run
complete -c deltamesh -n '__deltamesh_verb diff' -s o -l output -r
complete -c deltamesh -n '__deltamesh_verb diff' -l speed -x -a 'auto fast small'
complete -c deltamesh -n '__deltamesh_verb diff' -l max-rank -x
complete -c deltamesh -n '__deltamesh_verb diff' -l threads -x
complete -c deltamesh -n '__deltamesh_verb patch' -s o -l output -r
complete -c deltamesh -n '__deltamesh_verb patch' -l in-place
complete -c deltamesh -n '__deltamesh_verb patch' -l threads -x
complete -c deltamesh -n '__deltamesh_verb inspect' -l base -r
complete -c deltamesh -n '__deltamesh_verb inspect' -l target -r
complete -c deltamesh -n '__deltamesh_verb bench' -l max-rank -x
complete -c deltamesh -n '__deltamesh_verb bench' -l threads -x
complete -c deltamesh -n '__deltamesh_verb export' -l nnc
complete -c deltamesh -n '__deltamesh_verb nnc' -a 'encode decode inspect'
complete -c deltamesh -n '__deltamesh_verb nnc' -s o -l output -r
complete -c deltamesh -n '__deltamesh_verb nnc' -l like -r
complete -c deltamesh -n '__deltamesh_verb nnc' -l values -x \
    -a 'as-sent new difference'
complete -c deltamesh -n '__deltamesh_verb nnc' -l threads -x
for verb in export nnc
    set -l when "__deltamesh_verb $verb"
    complete -c deltamesh -n $when -l base -r
    complete -c deltamesh -n $when -l prev -r
    complete -c deltamesh -n $when -l error -x
    complete -c deltamesh -n $when -l qp -x
    complete -c deltamesh -n $when -l step -x
    complete -c deltamesh -n $when -l bits -x
    complete -c deltamesh -n $when -l max-error -x
    complete -c deltamesh -n $when -l vector-error -x
    complete -c deltamesh -n $when -l vector-qp -x
    complete -c deltamesh -n $when -l dq
    complete -c deltamesh -n $when -l no-dq
    complete -c deltamesh -n $when -l codebook
    complete -c deltamesh -n $when -l no-codebook
    complete -c deltamesh -n $when -l row-skip
    complete -c deltamesh -n $when -l no-row-skip
    complete -c deltamesh -n $when -l tca
    complete -c deltamesh -n $when -l no-tca
    complete -c deltamesh -n $when -l sparsity -x
    complete -c deltamesh -n $when -l scan -x -a '0 1 2 3 4'
    complete -c deltamesh -n $when -l lambda -x
    complete -c deltamesh -n $when -l density -x
    complete -c deltamesh -n $when -l profile -x -a '0 1'
    complete -c deltamesh -n $when -l device -x
    complete -c deltamesh -n $when -l lattice
    complete -c deltamesh -n $when -l low-rank -x -a 'auto off'
end
