# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ncprop279_global_optspecs
    string join \n v/verbose backend= proxy= allow-unproxied-node= names-file= rpc-address= rpc-user= rpc-password= rpc-cookie= rpc-dialect= electrum-server= electrum-operators= network= checkpoint= confirmations= state-directory= verify-all-headers= timeout= max-lookups= only-onion= missing-isolation= cache-entries= cache-isolations= cache-ttl= cache-negative-ttl= log-names= config= h/help V/version
end

function __fish_ncprop279_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ncprop279_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ncprop279_using_subcommand
    set -l cmd (__fish_ncprop279_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l backend -d 'rpc, electrum, file [implied, else rpc]' -r -f -a "rpc\t''
electrum\t''
file\t''"
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l proxy -d 'SOCKS5 proxy on the way, such as Tor\'s' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l allow-unproxied-node -d 'permit going past Tor' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l names-file -d 'read names from this file' -r -F
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l rpc-address -d 'JSON-RPC of a node [127.0.0.1:8336]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l rpc-user -d 'user name for the node' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l rpc-password -d 'password; better put in the file' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l rpc-cookie -d 'cookie file [Namecoin Core\'s]' -r -F
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l rpc-dialect -d 'core, electrum-nmc, consensusj [auto]' -r -f -a "auto\t''
core\t''
electrum-nmc\t''
consensusj\t''"
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l electrum-server -d 'repeatable; s with TLS [bundled list]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l electrum-operators -d 'operators needed: auto, 1 or 2 [auto]' -r -f -a "auto\t''
1\t''
2\t''"
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l network -d 'mainnet or regtest [mainnet]' -r -f -a "mainnet\t''
regtest\t''"
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l checkpoint -d 'the block to start from' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l confirmations -d 'blocks that must confirm a value [12]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l state-directory -d 'where block headers and keys are kept' -r -F
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l verify-all-headers -d 'verify every header\'s work' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l timeout -d 'time limit of a query or check, decimal [20]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l max-lookups -d 'requests under way at once [64]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l only-onion -d 'answer with onion services only' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l missing-isolation -d 'without an isolation id: shared, unique or refuse [shared]' -r -f -a "shared\t''
unique\t''
refuse\t''"
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l cache-entries -d 'names for each isolation id [100]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l cache-isolations -d 'isolation ids [1000]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l cache-ttl -d 'keep values this long [600]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l cache-negative-ttl -d 'keep absence this long [60]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l log-names -d 'show names and ids in the log of -vv' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -l config -d 'TOML file with the same settings' -r -F
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -s v -l verbose -d 'Tell on stderr what goes on; -vv more'
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -s h -l help -d 'Print help'
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -s V -l version -d 'Print version'
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -f -a "resolve" -d 'Resolve one name, print the answer'
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -f -a "records" -d 'Print the records of one name'
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -f -a "check" -d 'Try the configuration out'
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -f -a "checkpoint" -d 'Print a newer block for --checkpoint'
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -f -a "completions" -d 'Print completions for a shell'
complete -c ncprop279 -n "__fish_ncprop279_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l isolation -d 'Ask under this isolation id' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l backend -d 'rpc, electrum, file [implied, else rpc]' -r -f -a "rpc\t''
electrum\t''
file\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l proxy -d 'SOCKS5 proxy on the way, such as Tor\'s' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l allow-unproxied-node -d 'permit going past Tor' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l names-file -d 'read names from this file' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l rpc-address -d 'JSON-RPC of a node [127.0.0.1:8336]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l rpc-user -d 'user name for the node' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l rpc-password -d 'password; better put in the file' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l rpc-cookie -d 'cookie file [Namecoin Core\'s]' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l rpc-dialect -d 'core, electrum-nmc, consensusj [auto]' -r -f -a "auto\t''
core\t''
electrum-nmc\t''
consensusj\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l electrum-server -d 'repeatable; s with TLS [bundled list]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l electrum-operators -d 'operators needed: auto, 1 or 2 [auto]' -r -f -a "auto\t''
1\t''
2\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l network -d 'mainnet or regtest [mainnet]' -r -f -a "mainnet\t''
regtest\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l checkpoint -d 'the block to start from' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l confirmations -d 'blocks that must confirm a value [12]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l state-directory -d 'where block headers and keys are kept' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l verify-all-headers -d 'verify every header\'s work' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l timeout -d 'time limit of a query or check, decimal [20]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l max-lookups -d 'requests under way at once [64]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l only-onion -d 'answer with onion services only' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l missing-isolation -d 'without an isolation id: shared, unique or refuse [shared]' -r -f -a "shared\t''
unique\t''
refuse\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l cache-entries -d 'names for each isolation id [100]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l cache-isolations -d 'isolation ids [1000]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l cache-ttl -d 'keep values this long [600]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l cache-negative-ttl -d 'keep absence this long [60]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l log-names -d 'show names and ids in the log of -vv' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l config -d 'TOML file with the same settings' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -l explain -d 'Tell after the answer how it was found'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -s v -l verbose -d 'Tell on stderr what goes on; -vv more'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand resolve" -s h -l help -d 'Print help'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l isolation -d 'Ask under this isolation id' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l backend -d 'rpc, electrum, file [implied, else rpc]' -r -f -a "rpc\t''
electrum\t''
file\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l proxy -d 'SOCKS5 proxy on the way, such as Tor\'s' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l allow-unproxied-node -d 'permit going past Tor' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l names-file -d 'read names from this file' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l rpc-address -d 'JSON-RPC of a node [127.0.0.1:8336]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l rpc-user -d 'user name for the node' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l rpc-password -d 'password; better put in the file' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l rpc-cookie -d 'cookie file [Namecoin Core\'s]' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l rpc-dialect -d 'core, electrum-nmc, consensusj [auto]' -r -f -a "auto\t''
core\t''
electrum-nmc\t''
consensusj\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l electrum-server -d 'repeatable; s with TLS [bundled list]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l electrum-operators -d 'operators needed: auto, 1 or 2 [auto]' -r -f -a "auto\t''
1\t''
2\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l network -d 'mainnet or regtest [mainnet]' -r -f -a "mainnet\t''
regtest\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l checkpoint -d 'the block to start from' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l confirmations -d 'blocks that must confirm a value [12]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l state-directory -d 'where block headers and keys are kept' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l verify-all-headers -d 'verify every header\'s work' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l timeout -d 'time limit of a query or check, decimal [20]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l max-lookups -d 'requests under way at once [64]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l only-onion -d 'answer with onion services only' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l missing-isolation -d 'without an isolation id: shared, unique or refuse [shared]' -r -f -a "shared\t''
unique\t''
refuse\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l cache-entries -d 'names for each isolation id [100]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l cache-isolations -d 'isolation ids [1000]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l cache-ttl -d 'keep values this long [600]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l cache-negative-ttl -d 'keep absence this long [60]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l log-names -d 'show names and ids in the log of -vv' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l config -d 'TOML file with the same settings' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -l json -d 'Print JSON for programs'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -s v -l verbose -d 'Tell on stderr what goes on; -vv more'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand records" -s h -l help -d 'Print help'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l backend -d 'rpc, electrum, file [implied, else rpc]' -r -f -a "rpc\t''
electrum\t''
file\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l proxy -d 'SOCKS5 proxy on the way, such as Tor\'s' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l allow-unproxied-node -d 'permit going past Tor' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l names-file -d 'read names from this file' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l rpc-address -d 'JSON-RPC of a node [127.0.0.1:8336]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l rpc-user -d 'user name for the node' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l rpc-password -d 'password; better put in the file' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l rpc-cookie -d 'cookie file [Namecoin Core\'s]' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l rpc-dialect -d 'core, electrum-nmc, consensusj [auto]' -r -f -a "auto\t''
core\t''
electrum-nmc\t''
consensusj\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l electrum-server -d 'repeatable; s with TLS [bundled list]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l electrum-operators -d 'operators needed: auto, 1 or 2 [auto]' -r -f -a "auto\t''
1\t''
2\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l network -d 'mainnet or regtest [mainnet]' -r -f -a "mainnet\t''
regtest\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l checkpoint -d 'the block to start from' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l confirmations -d 'blocks that must confirm a value [12]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l state-directory -d 'where block headers and keys are kept' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l verify-all-headers -d 'verify every header\'s work' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l timeout -d 'time limit of a query or check, decimal [20]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l max-lookups -d 'requests under way at once [64]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l only-onion -d 'answer with onion services only' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l missing-isolation -d 'without an isolation id: shared, unique or refuse [shared]' -r -f -a "shared\t''
unique\t''
refuse\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l cache-entries -d 'names for each isolation id [100]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l cache-isolations -d 'isolation ids [1000]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l cache-ttl -d 'keep values this long [600]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l cache-negative-ttl -d 'keep absence this long [60]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l log-names -d 'show names and ids in the log of -vv' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -l config -d 'TOML file with the same settings' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -s v -l verbose -d 'Tell on stderr what goes on; -vv more'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand check" -s h -l help -d 'Print help'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l backend -d 'rpc, electrum, file [implied, else rpc]' -r -f -a "rpc\t''
electrum\t''
file\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l proxy -d 'SOCKS5 proxy on the way, such as Tor\'s' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l allow-unproxied-node -d 'permit going past Tor' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l names-file -d 'read names from this file' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l rpc-address -d 'JSON-RPC of a node [127.0.0.1:8336]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l rpc-user -d 'user name for the node' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l rpc-password -d 'password; better put in the file' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l rpc-cookie -d 'cookie file [Namecoin Core\'s]' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l rpc-dialect -d 'core, electrum-nmc, consensusj [auto]' -r -f -a "auto\t''
core\t''
electrum-nmc\t''
consensusj\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l electrum-server -d 'repeatable; s with TLS [bundled list]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l electrum-operators -d 'operators needed: auto, 1 or 2 [auto]' -r -f -a "auto\t''
1\t''
2\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l network -d 'mainnet or regtest [mainnet]' -r -f -a "mainnet\t''
regtest\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l checkpoint -d 'the block to start from' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l confirmations -d 'blocks that must confirm a value [12]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l state-directory -d 'where block headers and keys are kept' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l verify-all-headers -d 'verify every header\'s work' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l timeout -d 'time limit of a query or check, decimal [20]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l max-lookups -d 'requests under way at once [64]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l only-onion -d 'answer with onion services only' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l missing-isolation -d 'without an isolation id: shared, unique or refuse [shared]' -r -f -a "shared\t''
unique\t''
refuse\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l cache-entries -d 'names for each isolation id [100]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l cache-isolations -d 'isolation ids [1000]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l cache-ttl -d 'keep values this long [600]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l cache-negative-ttl -d 'keep absence this long [60]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l log-names -d 'show names and ids in the log of -vv' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -l config -d 'TOML file with the same settings' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -s v -l verbose -d 'Tell on stderr what goes on; -vv more'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand checkpoint" -s h -l help -d 'Print help'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l backend -d 'rpc, electrum, file [implied, else rpc]' -r -f -a "rpc\t''
electrum\t''
file\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l proxy -d 'SOCKS5 proxy on the way, such as Tor\'s' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l allow-unproxied-node -d 'permit going past Tor' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l names-file -d 'read names from this file' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l rpc-address -d 'JSON-RPC of a node [127.0.0.1:8336]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l rpc-user -d 'user name for the node' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l rpc-password -d 'password; better put in the file' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l rpc-cookie -d 'cookie file [Namecoin Core\'s]' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l rpc-dialect -d 'core, electrum-nmc, consensusj [auto]' -r -f -a "auto\t''
core\t''
electrum-nmc\t''
consensusj\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l electrum-server -d 'repeatable; s with TLS [bundled list]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l electrum-operators -d 'operators needed: auto, 1 or 2 [auto]' -r -f -a "auto\t''
1\t''
2\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l network -d 'mainnet or regtest [mainnet]' -r -f -a "mainnet\t''
regtest\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l checkpoint -d 'the block to start from' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l confirmations -d 'blocks that must confirm a value [12]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l state-directory -d 'where block headers and keys are kept' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l verify-all-headers -d 'verify every header\'s work' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l timeout -d 'time limit of a query or check, decimal [20]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l max-lookups -d 'requests under way at once [64]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l only-onion -d 'answer with onion services only' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l missing-isolation -d 'without an isolation id: shared, unique or refuse [shared]' -r -f -a "shared\t''
unique\t''
refuse\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l cache-entries -d 'names for each isolation id [100]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l cache-isolations -d 'isolation ids [1000]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l cache-ttl -d 'keep values this long [600]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l cache-negative-ttl -d 'keep absence this long [60]' -r -f
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l log-names -d 'show names and ids in the log of -vv' -r -f -a "true\t''
false\t''"
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -l config -d 'TOML file with the same settings' -r -F
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -s v -l verbose -d 'Tell on stderr what goes on; -vv more'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -s h -l help -d 'Print help'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand help; and not __fish_seen_subcommand_from resolve records check checkpoint completions help" -f -a "resolve" -d 'Resolve one name, print the answer'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand help; and not __fish_seen_subcommand_from resolve records check checkpoint completions help" -f -a "records" -d 'Print the records of one name'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand help; and not __fish_seen_subcommand_from resolve records check checkpoint completions help" -f -a "check" -d 'Try the configuration out'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand help; and not __fish_seen_subcommand_from resolve records check checkpoint completions help" -f -a "checkpoint" -d 'Print a newer block for --checkpoint'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand help; and not __fish_seen_subcommand_from resolve records check checkpoint completions help" -f -a "completions" -d 'Print completions for a shell'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand help; and not __fish_seen_subcommand_from resolve records check checkpoint completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ncprop279 -n "__fish_ncprop279_using_subcommand completions" -f -a "bash elvish fish powershell zsh"
