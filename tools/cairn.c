/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cairn: look at, check, clean and restore what jobs have stored, without a running job. The tool
 * sees only the public headers and the shared library: it is the library's first customer. The
 * verbs are in tools/cli/, the manual in docs/man/cairn.1.
 */

#include "tools/cli/cli.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int usage_error(const char *what, const char *word)
{
    CLI_AUTO_ERROR cairn_error *error = NULL;
    int r = cli_raise(&error, CAIRN_EINVAL, "there is no %s '%s'", what, word);
    return cli_report(NULL, NULL, r, error);
}

static int finish_output(const struct cli_verb *verb, int status)
{
    CLI_AUTO_ERROR cairn_error *error = NULL;
    int r = cli_output_finish(&error);
    return r < 0 ? cli_report(verb, NULL, r, error) : status;
}

static int run_help(int argc, char **argv)
{
    const struct cli_verb *verb = argc > 2 ? cli_verb_find(argv[2]) : NULL;
    bool is_help = argc > 2 && strcmp(argv[2], "help") == 0;
    bool is_settings = argc > 2 && strcmp(argv[2], "settings") == 0;
    if (argc > 2 && !verb && !is_help && !is_settings)
        return usage_error("verb", argv[2]);
    if (is_help)
        cli_help_help(stdout);
    else if (is_settings)
        cli_help_settings(stdout);
    else if (verb)
        cli_help_verb(verb, stdout);
    else
        cli_help_all(stdout);
    return finish_output(verb, 0);
}

static int run_verb(const struct cli_verb *verb, int argc, char **argv)
{
    CLI_AUTO_ERROR cairn_error *error = NULL;
    struct cli_args args = {0};
    int r = cli_args_parse(verb, argc, argv, &args, &error);
    if (r == 0 && args.help) {
        cli_help_verb(verb, stdout);
        return finish_output(verb, 0);
    }
    if (r == 0)
        r = verb->run(&args, &error);
    if (r > 0)
        return r;
    /* Data before complaints, in a terminal too. An interruption is the only complaint. */
    int output = r == CAIRN_ECANCELED ? 0 : finish_output(verb, 0);
    return r < 0 ? cli_report(verb, &args, r, error) : output;
}

/* If we were started with a standard stream closed, the next file to be opened would take its
 * place, and what is meant for people would be written into it. Reading from these gives nothing,
 * writing fails. */
static void fill_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    }
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    /* A closed pipe is learnt from the failed write, so that scratch files are removed on the way
     * out; see cli_output_gone(). */
    signal(SIGPIPE, SIG_IGN);
    cli_style_init();
    if (argc < 2) {
        cli_help_all(stderr);
        return CAIRN_CLASS_CALLER;
    }
    const char *word = argv[1];
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return run_help(argc, argv);
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        printf("cairn %s\n", cairn_version());
        return finish_output(NULL, 0);
    }
    if (strcmp(word, "__complete") == 0)
        return cli_complete(argc - 2, argv + 2);
    const struct cli_verb *verb = cli_verb_find(word);
    if (!verb)
        return usage_error(word[0] == '-' ? "option" : "verb", word);
    return run_verb(verb, argc - 1, argv + 1);
}
