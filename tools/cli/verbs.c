/* SPDX-License-Identifier: Apache-2.0 */

/* The verbs in one table, and the help that is made of it. To add a verb: write cli_<verb>() in a
 * file of its own, and add a row here and a section in docs/man/cairn.1. */

#include "tools/cli/cli.h"
#include <string.h>

const struct cli_verb cli_verbs[] = {
    {"jobs", "STORE", 1, 1, CLI_JSON, cli_jobs, "list the jobs of a store",
     "For each job its newest complete checkpoint, how old it is, and how much it would restore.\n"
     "The exit status is not 0 if a job has no complete checkpoint, misses an object, or has a "
     "log\n"
     "that cannot be read as a whole.\n"},
    {"ls", "PATH", 1, 1, CLI_JOB | CLI_ALL | CLI_JSON, cli_ls, "list checkpoints and attempts",
     "Of one job, or of every job of the store.\n"
     "NEW is what a checkpoint added to the store, EXCLUSIVE what would be freed if it alone were\n"
     "gone; STALL is the longest time that a writer waited in its barrier.\n"},
    {"inspect", "PATH [ID]", 1, 2, CLI_JOB | CLI_FILES | CLI_JSON, cli_inspect,
     "show what a checkpoint holds",
     "Operators, their states, and their subtasks with sizes and times. ID is a number or latest\n"
     "(the default).\n"},
    {"du", "PATH", 1, 1, CLI_JOB | CLI_JSON, cli_du, "show what takes the space",
     "Per checkpoint, and for the job: live objects, dead ones that gc would remove, unresolved "
     "ones\n"
     "of a checkpoint in flight or of a crash, foreign ones, and missing ones. If a manifest "
     "cannot be\n"
     "read, the figures are still printed, and what it might need is unknown.\n"},
    {"diff", "PATH A B", 2, 3,
     CLI_JOB | CLI_ALL | CLI_ENTRIES | CLI_OPERATOR | CLI_STATE | CLI_LIMIT | CLI_JSON, cli_diff,
     "compare two checkpoints",
     "Which files came (+) and went (-) from A to B, and how much both share. With --entries: "
     "which\n"
     "entries came, went and changed (~); then two paths, of any snapshots, may stand in place of\n"
     "PATH A B.\n"},
    {"verify", "PATH [ID]", 1, 2, CLI_JOB | CLI_FULL | CLI_THREADS | CLI_JSON, cli_verify,
     "check that checkpoints can be restored",
     "Every retained checkpoint of one job or of all jobs of the store, or the one named: "
     "manifests\n"
     "are read and checked, objects must be there with the right size. With --full every byte is "
     "read\n"
     "and compared. Each problem is one line with the checkpoints that it affects; then those that "
     "are\n"
     "whole. The exit status is 0 only if there is no problem, and a checkpoint.\n"},
    {"explain", "PATH OBJECT", 2, 2, CLI_JOB | CLI_JSON, cli_explain, "tell who needs an object",
     "OBJECT as an error message names it: shared/e1-c2-7.sst, MANIFEST-chk3, with or without the\n"
     "job in front; or the file below PATH.\n"},
    {"cat", "PATH [ID]", 1, 2, CLI_JOB | CLI_OPERATOR | CLI_STATE | CLI_KEY | CLI_LIMIT | CLI_JSON,
     cli_cat, "print the entries of a checkpoint",
     "One line per entry: operator/state, key, @ namespace, [map key or position], = value. "
     "Expired\n"
     "entries are printed too. Files are fetched to $TMPDIR and verified on the way.\n"},
    {"gc", "PATH", 1, 1, CLI_JOB | CLI_DRY_RUN | CLI_KEEP_IN_FLIGHT | CLI_JSON, cli_gc,
     "remove what no checkpoint needs",
     "Safe beside a running job, which may lose the attempt that it has in flight: keep that with\n"
     "--keep-in-flight. Refuses to remove anything while a manifest cannot be read.\n"},
    {"restore", "PATH [ID]", 1, 2, CLI_JOB | CLI_TO | CLI_LINK | CLI_THREADS | CLI_JSON,
     cli_restore, "write a checkpoint's databases to a directory",
     "Each subtask becomes a plain RocksDB directory, DIR/<operator>-<subtask>, verified and "
     "synced.\n"
     "DIR appears whole or not at all.\n"},
    {"check", "PATH [ID]", 1, 2, CLI_JOB | CLI_OPERATORS | CLI_BACKEND | CLI_JSON, cli_check,
     "tell whether a service can start from a snapshot",
     "What of the snapshot its operators would get, what would be dropped, and what does not fit. "
     "The\n"
     "operators stand in a file, as `inspect --json` prints them, or are those that another job "
     "or\n"
     "savepoint has stored. The exit status is 0 only if the service can start.\n"},
    {"export", "PATH [ID]", 1, 2,
     CLI_JOB | CLI_FORMAT | CLI_TO | CLI_OPERATOR | CLI_STATE | CLI_KEY | CLI_LIMIT, cli_export,
     "write the entries of a snapshot as JSON lines or CSV",
     "To standard output, or to a new file. What is written as jsonl can be imported.\n"},
    {"import", "FILE", 1, 1, CLI_JOB | CLI_TO | CLI_FORMAT | CLI_PARTIAL | CLI_JSON, cli_import,
     "make a savepoint from JSON lines",
     "FILE is as `export` writes it, or - for standard input. --job names the job whose savepoint "
     "it\n"
     "is to be.\n"},
    {"edit", "PATH [ID]", 1, 2,
     CLI_JOB | CLI_TO | CLI_FORMAT | CLI_RENAME | CLI_DROP_OPERATOR | CLI_DROP_STATE |
         CLI_MAX_PARALLELISM | CLI_JSON,
     cli_edit, "make a changed savepoint from a snapshot",
     "Rename operators, leave operators or states out, change the number of key groups. The "
     "options\n"
     "may be given several times; uids are those that are stored. PATH stays as it is.\n"},
    {"convert", "PATH [ID]", 1, 2, CLI_JOB | CLI_TO | CLI_FORMAT | CLI_JSON, cli_convert,
     "make a savepoint of another format from a snapshot",
     "A canonical one can be read by every state backend, a native one is opened without "
     "rewriting.\n"},
    {"dispose", "PATH", 1, 1, CLI_JOB | CLI_DRY_RUN | CLI_YES | CLI_FORCE | CLI_JSON, cli_dispose,
     "remove a savepoint",
     "Its manifest first, so that it is none any more, then its files and its directory. Run it "
     "again\n"
     "if it was interrupted. Refuses everything that is not a savepoint.\n"},
};
const size_t cli_verb_count = CLI_COUNT(cli_verbs);

const struct cli_verb *cli_verb_find(const char *name)
{
    for (size_t i = 0; i < cli_verb_count; i++) {
        if (strcmp(cli_verbs[i].name, name) == 0)
            return &cli_verbs[i];
    }
    return NULL;
}

void cli_help_all(FILE *to)
{
    fputs("usage: cairn VERB [options] PATH ...\n\n", to);
    for (size_t i = 0; i < cli_verb_count; i++)
        fprintf(to, "  %-8s %-12s  %s\n", cli_verbs[i].name, cli_verbs[i].words,
                cli_verbs[i].summary);
    fprintf(to, "  %-8s %-12s  %s\n", "help", "[VERB]", "show this, or all about a verb");
    fputs("\nPATH is a store (a directory, or file:///...), or the directory of one job or "
          "savepoint, or a\n"
          "MANIFEST-chk file in it. ID is the number of a checkpoint, or latest.\n"
          "With --json a verb prints a JSON document; export has formats of its own instead.\n"
          "Exit status: 0 ok, 1 internal error, 2 usage, 3 not there or changed, 4 damaged data, 5 "
          "try again,\n"
          "6 this machine, 130 interrupted.\n",
          to);
}

void cli_help_help(FILE *to)
{
    fputs("usage: cairn help [VERB]\n\n"
          "Show the verbs, or all about one. `cairn VERB --help` does the same; `man cairn` has "
          "more.\n",
          to);
}

void cli_help_verb(const struct cli_verb *verb, FILE *to)
{
    fprintf(to, "usage: cairn %s [options] %s\n\n", verb->name, verb->words);
    fprintf(to, "%c%s.\n\n%s\n", verb->summary[0] - 'a' + 'A', verb->summary + 1, verb->details);
    cli_args_print_options(verb, to);
}
