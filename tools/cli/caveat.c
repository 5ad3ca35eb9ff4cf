/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What everybody who uses a store has to know: told by every verb that opens one, or asks a running
 * job of one: as a line on stderr, once, and as the field "store_caveat" of the JSON document.
 */

#include "tools/cli/service.h"
#include <string.h>

/* Of the first store that has one: stores differ in whether they have it, not in what it says. */
static char *caveat;

void cli_caveat(const char *text)
{
    if (!text || !*text || caveat)
        return;
    caveat = cli_printf("%s", text);
    CLI_AUTO_FREE char *safe = cli_text_safe(text);
    (void)fflush(stdout);
    fprintf(stderr, "cairn: warning: %s\n", safe);
}

void cli_caveat_store(cairn_store *store)
{
    cli_caveat(cairn_store_caveat(store));
}

/* Who was named by an address was not asked what he is; that he does not say so is no failure of
 * the verb's. */
void cli_caveat_service(const struct cli_args *args, struct cli_service *service)
{
    CLI_AUTO_ERROR cairn_error *error = NULL;
    if (!service->about &&
        cli_request(args, service, "GET", "/v1/job", NULL, &service->about, &error) < 0)
        cli_hint(NULL);
    cli_caveat(cli_answer_text(service->about, "store_caveat"));
}

const char *cli_caveat_text(void)
{
    return caveat;
}

char *cli_caveat_member(void)
{
    if (!caveat)
        return cli_printf("%s", "");
    CLI_AUTO_JSON struct json_object *text = cli_json_text(caveat, strlen(caveat));
    return cli_printf("\"store_caveat\": %s,\n  ",
                      json_object_to_json_string_ext(text, JSON_C_TO_STRING_NOSLASHESCAPE));
}
