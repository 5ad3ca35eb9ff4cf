/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Running jobs: where their control endpoints are, and requests to them (docs/rest.md). A job is
 * named by its name, found among the sockets of the run directory, or by an address: unix:/path,
 * or http://host:port, which may be written as tcp:host:port, too.
 *
 * What comes back is a stranger's until it has been read: sizes are limited, JSON is checked, and
 * an error in it becomes an error of ours with the same code.
 */

#include "tools/cli/service.h"
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX ((size_t)16 << 20)
#define CONNECT_TIMEOUT_MS 3000L
#define REQUEST_TIMEOUT_MS 30000L
#define PROBE_TIMEOUT_MS 5000L /* one process that hangs must not hide the others for long */
#define TOKEN_BYTES_MAX 256

/* ---- one request ---- */

struct answer {
    char *data;
    size_t size;
    bool too_large, no_memory;
};

static size_t take_body(char *data, size_t one, size_t count, void *context)
{
    struct answer *answer = context;
    size_t n = one * count;
    if (n > ANSWER_BYTES_MAX - answer->size) {
        answer->too_large = true;
        return 0;
    }
    char *grown = realloc(answer->data, answer->size + n + 1);
    if (!grown) {
        answer->no_memory = true;
        return 0; /* which ends the transfer */
    }
    memcpy(grown + answer->size, data, n);
    answer->size += n;
    grown[answer->size] = '\0';
    answer->data = grown;
    return n;
}

int cli_error_code(const char *name)
{
    static const int codes[] = {
#define X(code, number, cls, text) CAIRN_##code,
        CAIRN_ERROR_MAP(X)
#undef X
    };
    for (size_t i = 0; i < CLI_COUNT(codes); i++) {
        if (strcmp(cairn_error_name(codes[i]), name) == 0)
            return codes[i];
    }
    return CAIRN_EINTERNAL;
}

/* {"error":{"code":"CAIRN_EBUSY","message":"..."}} */
static int raise_answer(const struct cli_service *service, long status, struct json_object *body,
                        cairn_error **reterr)
{
    struct json_object *error = NULL;
    const char *code = NULL, *message = NULL;
    if (json_object_is_type(body, json_type_object) &&
        json_object_object_get_ex(body, "error", &error) &&
        cli_json_get_text(error, "code", &code, NULL) == 1 &&
        cli_json_get_text(error, "message", &message, NULL) == 1) {
        if (status == 401)
            cli_hint("give the service's token with --token-file or in CAIRN_CONTROL_TOKEN");
        if (status == 409 && cli_error_code(code) == CAIRN_EUNSUPPORTED)
            cli_hint("`cairn list` shows which processes run here, and their roles");
        return cli_raise(reterr, cli_error_code(code), "%s", message);
    }
    return cli_raise(reterr, CAIRN_EINVAL,
                     "'%s' answers with HTTP status %ld and no error of Cairn's: is it a job's "
                     "control endpoint?",
                     service->address, status);
}

static uint64_t patience_us(const struct cli_service *service)
{
    return (service->is_probe ? PROBE_TIMEOUT_MS : REQUEST_TIMEOUT_MS) * 1000;
}

/* `system` is the errno behind it, 0 if curl knows none. */
static int raise_transport(const struct cli_service *service, CURLcode result, const char *text,
                           int system, cairn_error **reterr)
{
    const char *why = *text ? text : curl_easy_strerror(result);
    if (result == CURLE_COULDNT_CONNECT && system == EACCES) {
        cli_hint("run it as the user that the service runs as, or as root");
        return cli_raise(reterr, CAIRN_EACCES, "'%s' is not open to this user", service->address);
    }
    if (result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST) {
        cli_hint("`cairn list` shows the jobs that run here");
        return cli_raise(reterr, CAIRN_ENOTFOUND, "nobody listens at '%s': %s", service->address,
                         system ? strerror(system) : why);
    }
    if (result == CURLE_OPERATION_TIMEDOUT)
        return cli_raise(reterr, CAIRN_ETIMEOUT,
                         "'%s' does not answer within %s: its process hangs", service->address,
                         cli_duration(patience_us(service)).text);
    return cli_raise(reterr, CAIRN_EIO, "talking to '%s' failed: %s", service->address, why);
}

static int parse_json(const struct cli_service *service, const struct answer *answer,
                      struct json_object **ret, cairn_error **reterr)
{
    struct json_tokener *tokener = json_tokener_new_ex(CLI_JSON_DEPTH);
    if (!tokener)
        cli_out_of_memory();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    *ret =
        answer->size > 0 ? json_tokener_parse_ex(tokener, answer->data, (int)answer->size) : NULL;
    json_tokener_free(tokener);
    return *ret ? 0
                : cli_raise(reterr, CAIRN_ECORRUPT,
                            "what '%s' answers is no JSON: is it a job's control endpoint?",
                            service->address);
}

/* Of TCP only: who may open the socket needs none. */
static int read_token(const struct cli_args *args, char ret[TOKEN_BYTES_MAX + 2],
                      cairn_error **reterr)
{
    const char *token = getenv("CAIRN_CONTROL_TOKEN");
    ret[0] = '\0';
    if (!args->token) {
        if (token && strlen(token) <= TOKEN_BYTES_MAX)
            memcpy(ret, token, strlen(token) + 1);
        return 0;
    }
    FILE *file = fopen(args->token, "re");
    if (!file)
        return cli_raise(reterr, errno == EACCES ? CAIRN_EACCES : CAIRN_ENOTFOUND,
                         "token file '%s' cannot be read: %s", args->token, strerror(errno));
    if (!fgets(ret, TOKEN_BYTES_MAX + 2, file))
        ret[0] = '\0';
    (void)fclose(file);
    ret[strcspn(ret, "\r\n")] = '\0';
    return *ret ? 0
                : cli_raise(reterr, CAIRN_EINVAL, "token file '%s' holds no token", args->token);
}

static struct curl_slist *make_headers(const char *token, bool has_body)
{
    struct curl_slist *list = curl_slist_append(NULL, "Accept: application/json");
    CLI_AUTO_FREE char *authorization = cli_printf("Authorization: Bearer %s", token);
    struct curl_slist *more = list;
    if (list && has_body)
        more = curl_slist_append(list, "Content-Type: application/json");
    if (more && *token)
        more = curl_slist_append(list, authorization);
    if (!list || !more)
        cli_out_of_memory();
    return list;
}

static int perform(const struct cli_args *args, const struct cli_service *service,
                   const char *method, const char *path, const char *body, struct answer *answer,
                   long *ret_status, cairn_error **reterr)
{
    char token[TOKEN_BYTES_MAX + 2], text[CURL_ERROR_SIZE] = "";
    int r = read_token(args, token, reterr);
    if (r < 0)
        return r;
    CURL *curl = curl_easy_init();
    if (!curl)
        cli_out_of_memory();
    const char *socket_path = NULL;
    if (strncmp(service->address, "unix:", 5) == 0)
        socket_path = service->address + 5;
    CLI_AUTO_FREE char *url =
        cli_printf("%s%s", socket_path ? "http://localhost" : service->address, path);
    struct curl_slist *headers = make_headers(socket_path ? "" : token, body != NULL);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(patience_us(service) / 1000));
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    if (socket_path)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    if (body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    long system = 0;
    CURLcode result = curl_easy_perform(curl);
    if (result == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    else
        curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &system);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    if (answer->no_memory)
        cli_out_of_memory();
    if (answer->too_large)
        return cli_raise(reterr, CAIRN_ECORRUPT, "what '%s' answers does not end",
                         service->address);
    return result == CURLE_OK ? 0 : raise_transport(service, result, text, (int)system, reterr);
}

int cli_request(const struct cli_args *args, const struct cli_service *service, const char *method,
                const char *path, struct json_object *body, struct json_object **ret_answer,
                cairn_error **reterr)
{
    struct answer answer = {0};
    struct json_object *document = NULL;
    long status = 0;
    int r = perform(args, service, method, path,
                    body ? json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN) : NULL,
                    &answer, &status, reterr);
    if (r == 0)
        r = parse_json(service, &answer, &document, reterr);
    free(answer.data);
    if (r == 0 && (status < 200 || status > 299))
        r = raise_answer(service, status, document, reterr);
    if (r < 0) {
        json_object_put(document);
        return r;
    }
    *ret_answer = document;
    return 0;
}

/* ---- which job ---- */

void cli_service_done(struct cli_service *service)
{
    free(service->address);
    free(service->job);
    json_object_put(service->about);
    *service = (struct cli_service){0};
}

void cli_services_done(struct cli_services *services)
{
    for (size_t i = 0; i < services->count; i++)
        cli_service_done(&services->items[i]);
    free(services->items);
    *services = (struct cli_services){0};
}

char *cli_run_directory(const struct cli_args *args)
{
    const char *named = args->run_dir ? args->run_dir : getenv("CAIRN_RUN_DIR");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (named && *named)
        return cli_printf("%s", named);
    if (runtime && *runtime)
        return cli_printf("%s/cairn", runtime);
    return cli_printf("/tmp/cairn-%lu", (unsigned long)geteuid());
}

bool cli_service_is_address(const char *word)
{
    return strncmp(word, "unix:", 5) == 0 || strncmp(word, "http://", 7) == 0 ||
           strncmp(word, "tcp:", 4) == 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* Ask a socket whose it is. One that nobody listens on any more is left by a process that was
 * killed. */
static void try_socket(const struct cli_args *args, const char *path, struct cli_services *services)
{
    struct cli_service service = {.address = cli_printf("unix:%s", path), .is_probe = true};
    struct json_object *answer = NULL;
    const char *job = NULL;
    CLI_AUTO_ERROR cairn_error *error = NULL;
    int r = cli_request(args, &service, "GET", "/v1/job", NULL, &answer, &error);
    if (r == 0 && cli_json_get_text(answer, "name", &job, NULL) == 1) {
        service.job = cli_printf("%s", job);
        service.about = json_object_get(answer);
        service.is_probe = false;
        services->items = cli_grow(services->items, services->count, &services->capacity,
                                   sizeof(*services->items));
        services->items[services->count++] = service;
        service = (struct cli_service){0};
    } else if (r == CAIRN_ENOTFOUND) {
        services->dead++;
    } else {
        CLI_AUTO_FREE char *safe = cli_text_safe(path);
        CLI_AUTO_FREE char *why = cli_text_safe(cairn_error_message(error));
        fprintf(stderr, "cairn: left out '%s': %s\n", safe, r < 0 ? why : "it names no job");
    }
    cli_hint(NULL);
    json_object_put(answer);
    cli_service_done(&service);
}

static int compare_services(const void *a, const void *b)
{
    const struct cli_service *first = a, *second = b;
    int r = strcmp(first->job, second->job);
    return r ? r : strcmp(first->address, second->address);
}

int cli_services_list(const struct cli_args *args, struct cli_services *ret, cairn_error **reterr)
{
    CLI_AUTO_FREE char *path = cli_run_directory(args);
    DIR *directory = opendir(path);
    *ret = (struct cli_services){0};
    if (!directory && errno == ENOENT && !args->run_dir)
        return 0; /* no job has ever run here */
    if (!directory) {
        cli_hint("give the directory in which the service makes its socket");
        return cli_raise(reterr, errno == EACCES ? CAIRN_EACCES : CAIRN_ENOTFOUND,
                         "run directory '%s' cannot be read: %s", path, strerror(errno));
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        CLI_AUTO_FREE char *file = cli_printf("%s/%s", path, entry->d_name);
        struct stat stat;
        if (ends_with(entry->d_name, ".sock") && lstat(file, &stat) == 0 && S_ISSOCK(stat.st_mode))
            try_socket(args, file, ret);
    }
    closedir(directory);
    if (ret->count > 1)
        qsort(ret->items, ret->count, sizeof(*ret->items), compare_services);
    return 0;
}

/* Several processes may run jobs of one name: a name appears once. */
static char *list_names(const struct cli_services *services)
{
    char *list = cli_printf("%s", services->count ? services->items[0].job : "");
    for (size_t i = 1; i < services->count; i++) {
        CLI_AUTO_FREE char *shorter = list;
        bool again = strcmp(services->items[i].job, services->items[i - 1].job) == 0;
        list =
            cli_printf("%s%s%s", shorter, again ? "" : ", ", again ? "" : services->items[i].job);
    }
    return list;
}

static int raise_namesakes(size_t count, const char *name, cairn_error **reterr)
{
    cli_hint("`cairn list` shows their addresses: give one with --job");
    return cli_raise(reterr, CAIRN_EINVAL, "%zu processes run a job '%s'", count, name);
}

static int raise_choice(const struct cli_services *services, const char *wanted,
                        const char *directory, cairn_error **reterr)
{
    if (services->count == 0) {
        cli_hint("the service needs `control.listen: unix` and the same CAIRN_RUN_DIR; or give its "
                 "address with --job");
        return cli_raise(reterr, CAIRN_ENOTFOUND, "no job with a control endpoint runs under '%s'",
                         directory);
    }
    CLI_AUTO_FREE char *list = list_names(services);
    if (!wanted && strcmp(services->items[0].job, services->items[services->count - 1].job) == 0)
        return raise_namesakes(services->count, services->items[0].job, reterr);
    cli_hint("`cairn list` shows them with their addresses");
    if (wanted)
        return cli_raise(reterr, CAIRN_ENOTFOUND, "no job '%s' runs under '%s'; there is %s",
                         wanted, directory, list);
    return cli_raise(reterr, CAIRN_EINVAL, "several jobs run here: choose with --job one of %s",
                     list);
}

static bool is_worker(const struct cli_service *service)
{
    return strcmp(cli_answer_text(service->about, "role"), "worker") == 0;
}

/* A worker whose coordinator runs here, too: who names the job means that one. */
static bool is_spoken_for(const struct cli_services *services, const struct cli_service *worker)
{
    for (size_t i = 0; is_worker(worker) && i < services->count; i++) {
        if (!is_worker(&services->items[i]) && strcmp(services->items[i].job, worker->job) == 0)
            return true;
    }
    return false;
}

int cli_service_find(const struct cli_args *args, const char *word, struct cli_service *ret,
                     cairn_error **reterr)
{
    CLI_CLEANUP(cli_services_done) struct cli_services services = {0};
    const char *wanted = args->job ? args->job : word;
    size_t found = 0, at = 0;
    *ret = (struct cli_service){0};
    if (args->job && word)
        return cli_raise(reterr, CAIRN_EINVAL, "'%s' and --job name two jobs", word);
    if (wanted && cli_service_is_address(wanted)) {
        bool as_set = strncmp(wanted, "tcp:", 4) == 0; /* as control.listen has it */
        ret->address = cli_printf("%s%s", as_set ? "http://" : "", as_set ? wanted + 4 : wanted);
        while (ends_with(ret->address, "/"))
            ret->address[strlen(ret->address) - 1] = '\0';
        return 0;
    }
    int r = cli_services_list(args, &services, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < services.count; i++) {
        if (is_spoken_for(&services, &services.items[i]))
            continue;
        if (!wanted || strcmp(services.items[i].job, wanted) == 0) {
            found++;
            at = i;
        }
    }
    CLI_AUTO_FREE char *directory = cli_run_directory(args);
    if (found == 0 || (found > 1 && !wanted))
        return raise_choice(&services, wanted, directory, reterr);
    if (found > 1)
        return raise_namesakes(found, wanted, reterr);
    *ret = services.items[at];
    services.items[at] = (struct cli_service){0};
    return 0;
}
