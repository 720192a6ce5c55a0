# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_starsink_global_optspecs
    string join \n h/help V/version
end

function __fish_starsink_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_starsink_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_starsink_using_subcommand
    set -l cmd (__fish_starsink_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c starsink -n "__fish_starsink_needs_command" -s h -l help -d 'Print help'
complete -c starsink -n "__fish_starsink_needs_command" -s V -l version -d 'Print version'
complete -c starsink -n "__fish_starsink_needs_command" -f -a "load" -d 'Load topics up to a point, then stop'
complete -c starsink -n "__fish_starsink_needs_command" -f -a "tail" -d 'Load topics for as long as it runs'
complete -c starsink -n "__fish_starsink_needs_command" -f -a "check" -d 'Try every connection, key and column before a deploy; change nothing'
complete -c starsink -n "__fish_starsink_needs_command" -f -a "map" -d 'Show which topic goes to which table and column, and why'
complete -c starsink -n "__fish_starsink_needs_command" -f -a "completions" -d 'Print the completions of a shell'
complete -c starsink -n "__fish_starsink_needs_command" -f -a "man" -d 'Print the man page'
complete -c starsink -n "__fish_starsink_using_subcommand load" -s o -l offset -d 'Where to begin: stored, beginning, end, N, -N (N before the end), s@MS, s@RFC3339 [default: stored, else beginning]' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -l until -d 'Where to end: now (high watermarks at start), N, e@MS, e@RFC3339' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -s c -l max-messages -d 'End after N records at most; with -o they count over all runs of the same command' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -s p -l partition -d 'Only these partitions; needs a single topic' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -s b -l bootstrap-server -d 'Brokers, separated by commas; overrides bootstrap.servers' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -s t -l topic -d 'Topics, or a pattern starting with ^; overrides topics and topics.regex' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -s G -l group -d 'Consumer group [default: connect-NAME, the connector\'s own, so it carries on]' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -s X -l kafka-property -d 'Any librdkafka property. `-X dump` prints the effective ones and exits' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -l fe -d 'FE HTTP addresses, separated by commas; overrides starrocks.http.url' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -s D -l database -d 'Overrides starrocks.database.name' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -s u -l user -d 'Overrides starrocks.username. `user:password` is refused' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -l password-file -d 'Read the password from FILE, or stdin with `-`' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand load" -l map -d 'Added to starrocks.topic2table.map' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -s H -l header -d 'Stream Load header, as with curl; overrides sink.properties.NAME' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -l flush-bytes -d 'Load a batch at this size; overrides bufferflush.maxbytes; 512KiB, 90MiB, 1GB' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -l flush-interval -d 'Load a batch at this age; overrides bufferflush.intervalms; 500ms, 10s, 2m' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -l loads -d 'Loads in flight at once' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -l memory -d 'Most bytes held in memory' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -l on-error -d 'What to do with a record that cannot be loaded: stop, skip or dlq; overrides errors.tolerance' -r -f -a "stop\t''
skip\t''
dlq\t''"
complete -c starsink -n "__fish_starsink_using_subcommand load" -l dlq -d 'Where dlq puts such records: a topic, or a file if the name holds a / or ends in .ndjson; overrides errors.deadletterqueue.topic.name' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand load" -l dlq-delivery -d 'exactly-once: offsets and dead letters in one Kafka transaction; at-least-once: a crash may put a dead letter twice' -r -f -a "exactly-once\t''
at-least-once\t''"
complete -c starsink -n "__fish_starsink_using_subcommand load" -l max-errors -d 'Stop when more than N records, or P% of those read, were skipped or set aside' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -l on-unknown -d 'Where nothing proves whether a pending batch was loaded: committed goes on behind it, reload reads it again [default: stop]' -r -f -a "committed\t''
reload\t''"
complete -c starsink -n "__fish_starsink_using_subcommand load" -l delivery -d 'exactly-once; at-least-once; auto: exactly once, by labels alone where StarRocks has no transactions' -r -f -a "exactly-once\t''
at-least-once\t''
auto\t''"
complete -c starsink -n "__fish_starsink_using_subcommand load" -l report -d 'Write the run\'s report as JSON, also after an error' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand load" -l output -d 'human, or json (one event per line on stdout)' -r -f -a "human\t''
json\t''"
complete -c starsink -n "__fish_starsink_using_subcommand load" -l color -d 'auto, always or never; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c starsink -n "__fish_starsink_using_subcommand load" -l progress-interval -d 'Between progress lines without a terminal' -r
complete -c starsink -n "__fish_starsink_using_subcommand load" -l replay -d 'Load the dead letters of a topic or file again instead of the topics, each once; what still cannot be loaded is put there again' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand load" -l settle -d 'Finish or undo what an earlier run left pending, then stop'
complete -c starsink -n "__fish_starsink_using_subcommand load" -l no-progress -d 'No bars and no progress lines'
complete -c starsink -n "__fish_starsink_using_subcommand load" -l redact-values -d 'Print no record content anywhere'
complete -c starsink -n "__fish_starsink_using_subcommand load" -s q -l quiet -d 'Only warnings and errors; twice, only errors'
complete -c starsink -n "__fish_starsink_using_subcommand load" -s v -l verbose -d 'Say more; twice, debug; three times, trace [env: STARSINK_LOG]'
complete -c starsink -n "__fish_starsink_using_subcommand load" -s h -l help -d 'Print help'
complete -c starsink -n "__fish_starsink_using_subcommand load" -s V -l version -d 'Print version; with -v also librdkafka\'s and its features'
complete -c starsink -n "__fish_starsink_using_subcommand load" -s n -l dry-run -d 'Read, convert and count what would be loaded, set aside and skipped; send nothing, commit nothing'
complete -c starsink -n "__fish_starsink_using_subcommand load" -l restart -d 'Load a bounded run again from its start'
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s o -l offset -d 'Where to begin if the group has no offset: beginning, end, s@MS, s@RFC3339 [default: beginning, or as consumer.auto.offset.reset says]' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l drain-timeout -d 'On a signal or rebalance, wait this long for loads in flight' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l status-file -d 'Rewrite FILE with offsets, lag and last load at every interval, for probes; OpenMetrics text when the name ends in .prom, JSON otherwise' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s b -l bootstrap-server -d 'Brokers, separated by commas; overrides bootstrap.servers' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s t -l topic -d 'Topics, or a pattern starting with ^; overrides topics and topics.regex' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s G -l group -d 'Consumer group [default: connect-NAME, the connector\'s own, so it carries on]' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s X -l kafka-property -d 'Any librdkafka property. `-X dump` prints the effective ones and exits' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l fe -d 'FE HTTP addresses, separated by commas; overrides starrocks.http.url' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s D -l database -d 'Overrides starrocks.database.name' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s u -l user -d 'Overrides starrocks.username. `user:password` is refused' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l password-file -d 'Read the password from FILE, or stdin with `-`' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l map -d 'Added to starrocks.topic2table.map' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s H -l header -d 'Stream Load header, as with curl; overrides sink.properties.NAME' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l flush-bytes -d 'Load a batch at this size; overrides bufferflush.maxbytes; 512KiB, 90MiB, 1GB' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l flush-interval -d 'Load a batch at this age; overrides bufferflush.intervalms; 500ms, 10s, 2m' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l loads -d 'Loads in flight at once' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l memory -d 'Most bytes held in memory' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l on-error -d 'What to do with a record that cannot be loaded: stop, skip or dlq; overrides errors.tolerance' -r -f -a "stop\t''
skip\t''
dlq\t''"
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l dlq -d 'Where dlq puts such records: a topic, or a file if the name holds a / or ends in .ndjson; overrides errors.deadletterqueue.topic.name' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l dlq-delivery -d 'exactly-once: offsets and dead letters in one Kafka transaction; at-least-once: a crash may put a dead letter twice' -r -f -a "exactly-once\t''
at-least-once\t''"
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l max-errors -d 'Stop when more than N records, or P% of those read, were skipped or set aside' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l on-unknown -d 'Where nothing proves whether a pending batch was loaded: committed goes on behind it, reload reads it again [default: stop]' -r -f -a "committed\t''
reload\t''"
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l delivery -d 'exactly-once; at-least-once; auto: exactly once, by labels alone where StarRocks has no transactions' -r -f -a "exactly-once\t''
at-least-once\t''
auto\t''"
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l report -d 'Write the run\'s report as JSON, also after an error' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l output -d 'human, or json (one event per line on stdout)' -r -f -a "human\t''
json\t''"
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l color -d 'auto, always or never; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l progress-interval -d 'Between progress lines without a terminal' -r
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l settle -d 'Finish or undo what an earlier run left pending, then stop'
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l no-progress -d 'No bars and no progress lines'
complete -c starsink -n "__fish_starsink_using_subcommand tail" -l redact-values -d 'Print no record content anywhere'
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s q -l quiet -d 'Only warnings and errors; twice, only errors'
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s v -l verbose -d 'Say more; twice, debug; three times, trace [env: STARSINK_LOG]'
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s h -l help -d 'Print help'
complete -c starsink -n "__fish_starsink_using_subcommand tail" -s V -l version -d 'Print version; with -v also librdkafka\'s and its features'
complete -c starsink -n "__fish_starsink_using_subcommand check" -l sample -d 'Convert N records of each topic and compare them with the table; 0 reads none' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l only -d 'Only these: config, kafka, topics, registry, fe, query, be, auth, tables, columns, dlq, delivery' -r -f -a "config\t''
kafka\t''
topics\t''
registry\t''
fe\t''
query\t''
be\t''
auth\t''
tables\t''
columns\t''
dlq\t''
delivery\t''"
complete -c starsink -n "__fish_starsink_using_subcommand check" -l query-port -d 'The FEs\' query port' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -s o -l offset -d 'Where the load would begin, as in load' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l until -d 'Where the load would end, as in load' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -s c -l max-messages -d 'How many records the load would end after, as in load; with -o it is part of what names its group' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -s p -l partition -d 'Only these partitions; needs a single topic' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -s b -l bootstrap-server -d 'Brokers, separated by commas; overrides bootstrap.servers' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -s t -l topic -d 'Topics, or a pattern starting with ^; overrides topics and topics.regex' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -s G -l group -d 'Consumer group [default: connect-NAME, the connector\'s own, so it carries on]' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -s X -l kafka-property -d 'Any librdkafka property. `-X dump` prints the effective ones and exits' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l fe -d 'FE HTTP addresses, separated by commas; overrides starrocks.http.url' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -s D -l database -d 'Overrides starrocks.database.name' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -s u -l user -d 'Overrides starrocks.username. `user:password` is refused' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l password-file -d 'Read the password from FILE, or stdin with `-`' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand check" -l map -d 'Added to starrocks.topic2table.map' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -s H -l header -d 'Stream Load header, as with curl; overrides sink.properties.NAME' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l flush-bytes -d 'Load a batch at this size; overrides bufferflush.maxbytes; 512KiB, 90MiB, 1GB' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l flush-interval -d 'Load a batch at this age; overrides bufferflush.intervalms; 500ms, 10s, 2m' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l loads -d 'Loads in flight at once' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l memory -d 'Most bytes held in memory' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l on-error -d 'What to do with a record that cannot be loaded: stop, skip or dlq; overrides errors.tolerance' -r -f -a "stop\t''
skip\t''
dlq\t''"
complete -c starsink -n "__fish_starsink_using_subcommand check" -l dlq -d 'Where dlq puts such records: a topic, or a file if the name holds a / or ends in .ndjson; overrides errors.deadletterqueue.topic.name' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand check" -l dlq-delivery -d 'exactly-once: offsets and dead letters in one Kafka transaction; at-least-once: a crash may put a dead letter twice' -r -f -a "exactly-once\t''
at-least-once\t''"
complete -c starsink -n "__fish_starsink_using_subcommand check" -l max-errors -d 'Stop when more than N records, or P% of those read, were skipped or set aside' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l on-unknown -d 'Where nothing proves whether a pending batch was loaded: committed goes on behind it, reload reads it again [default: stop]' -r -f -a "committed\t''
reload\t''"
complete -c starsink -n "__fish_starsink_using_subcommand check" -l delivery -d 'exactly-once; at-least-once; auto: exactly once, by labels alone where StarRocks has no transactions' -r -f -a "exactly-once\t''
at-least-once\t''
auto\t''"
complete -c starsink -n "__fish_starsink_using_subcommand check" -l report -d 'Write the run\'s report as JSON, also after an error' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand check" -l output -d 'human, or json (one event per line on stdout)' -r -f -a "human\t''
json\t''"
complete -c starsink -n "__fish_starsink_using_subcommand check" -l color -d 'auto, always or never; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c starsink -n "__fish_starsink_using_subcommand check" -l progress-interval -d 'Between progress lines without a terminal' -r
complete -c starsink -n "__fish_starsink_using_subcommand check" -l write -d 'Also try what leaves a trace: begin and roll back a transaction per table, commit an offset in a group of its own and delete it, write to the place of dead letters'
complete -c starsink -n "__fish_starsink_using_subcommand check" -l strict -d 'A warning fails the run'
complete -c starsink -n "__fish_starsink_using_subcommand check" -l settle -d 'Finish or undo what an earlier run left pending, then stop'
complete -c starsink -n "__fish_starsink_using_subcommand check" -l no-progress -d 'No bars and no progress lines'
complete -c starsink -n "__fish_starsink_using_subcommand check" -l redact-values -d 'Print no record content anywhere'
complete -c starsink -n "__fish_starsink_using_subcommand check" -s q -l quiet -d 'Only warnings and errors; twice, only errors'
complete -c starsink -n "__fish_starsink_using_subcommand check" -s v -l verbose -d 'Say more; twice, debug; three times, trace [env: STARSINK_LOG]'
complete -c starsink -n "__fish_starsink_using_subcommand check" -s h -l help -d 'Print help'
complete -c starsink -n "__fish_starsink_using_subcommand check" -s V -l version -d 'Print version; with -v also librdkafka\'s and its features'
complete -c starsink -n "__fish_starsink_using_subcommand map" -l sample -d 'Records read per topic to see fields and types; 0 reads none' -r
complete -c starsink -n "__fish_starsink_using_subcommand map" -l record -d 'Map the records of FILE instead of Kafka\'s; one JSON object a line, or the file is one value' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand map" -l expect -d 'Compare the rows with those of FILE, one JSON object a line; exit 4 with a diff if they differ' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand map" -l from-routine-load -d 'Translate the routine load statement in FILE into a connector configuration; `-` reads stdin' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand map" -l list -d 'transforms, converters, keys or headers that this program knows' -r -f -a "transforms\t''
converters\t''
keys\t''
headers\t''"
complete -c starsink -n "__fish_starsink_using_subcommand map" -s b -l bootstrap-server -d 'Brokers, separated by commas; overrides bootstrap.servers' -r
complete -c starsink -n "__fish_starsink_using_subcommand map" -s t -l topic -d 'Topics, or a pattern starting with ^; overrides topics and topics.regex' -r
complete -c starsink -n "__fish_starsink_using_subcommand map" -s G -l group -d 'Consumer group [default: connect-NAME, the connector\'s own, so it carries on]' -r
complete -c starsink -n "__fish_starsink_using_subcommand map" -s X -l kafka-property -d 'Any librdkafka property. `-X dump` prints the effective ones and exits' -r
complete -c starsink -n "__fish_starsink_using_subcommand map" -l fe -d 'FE HTTP addresses, separated by commas; overrides starrocks.http.url' -r
complete -c starsink -n "__fish_starsink_using_subcommand map" -s D -l database -d 'Overrides starrocks.database.name' -r
complete -c starsink -n "__fish_starsink_using_subcommand map" -s u -l user -d 'Overrides starrocks.username. `user:password` is refused' -r
complete -c starsink -n "__fish_starsink_using_subcommand map" -l password-file -d 'Read the password from FILE, or stdin with `-`' -r -F
complete -c starsink -n "__fish_starsink_using_subcommand map" -l map -d 'Added to starrocks.topic2table.map' -r
complete -c starsink -n "__fish_starsink_using_subcommand map" -s H -l header -d 'Stream Load header, as with curl; overrides sink.properties.NAME' -r
complete -c starsink -n "__fish_starsink_using_subcommand map" -l output -d 'human, or json (one document on stdout)' -r -f -a "human\t''
json\t''"
complete -c starsink -n "__fish_starsink_using_subcommand map" -l color -d 'auto, always or never; NO_COLOR is respected' -r -f -a "auto\t''
always\t''
never\t''"
complete -c starsink -n "__fish_starsink_using_subcommand map" -l offline -d 'Ask neither Kafka nor StarRocks: records come from --record, and no columns are known'
complete -c starsink -n "__fish_starsink_using_subcommand map" -l ddl -d 'Print CREATE TABLE for missing tables and ALTER TABLE for missing columns'
complete -c starsink -n "__fish_starsink_using_subcommand map" -l properties -d 'Print the mapping as connector keys, to paste into a config'
complete -c starsink -n "__fish_starsink_using_subcommand map" -l redact-values -d 'Print no record content anywhere'
complete -c starsink -n "__fish_starsink_using_subcommand map" -s q -l quiet -d 'Only warnings and errors; twice, only errors'
complete -c starsink -n "__fish_starsink_using_subcommand map" -s v -l verbose -d 'Say more: each record before and after each transform'
complete -c starsink -n "__fish_starsink_using_subcommand map" -s h -l help -d 'Print help'
complete -c starsink -n "__fish_starsink_using_subcommand map" -s V -l version -d 'Print version'
complete -c starsink -n "__fish_starsink_using_subcommand completions" -s h -l help -d 'Print help'
complete -c starsink -n "__fish_starsink_using_subcommand man" -s h -l help -d 'Print help'
