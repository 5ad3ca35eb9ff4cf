/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proves that docs/openapi.yaml and the control endpoint say the same, in both directions:
 *   - each operation of the file is a route with its parameters and limits, and each route is in
 * it;
 *   - each answer of a job that does all there is to do has a status that the file lists for its
 *     operation, and a body that fits its schema: every required property, no other one, the right
 *     types and words;
 *   - every schema and property of the file has been seen in some answer, so that none is invented;
 *   - each field of a request's schema is accepted, with null and its default, and no other one.
 * docs/rest.md lists the same paths.
 */
#include "engine/control/order.h"
#include "engine/control/router.h"
#include "tests/support/cluster_kit.h"
#include "tests/support/control_kit.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

static struct controlled c;
static struct json_object *api;
static struct json_object *seen; /* "Schema.property": true */
static const char *elsewhere;    /* the endpoint that is asked, if not c's */

/* ------------------------------------------------------------------------------------------ *
 * The file
 * ------------------------------------------------------------------------------------------ */

static struct json_object *scalar(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    char *end;
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return json_object_new_string(text);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_object_new_boolean(text[0] == 't');
    if (strcmp(text, "null") == 0)
        return NULL;
    long long number = strtoll(text, &end, 10);
    return end > text && *end == '\0' ? json_object_new_int64(number)
                                      : json_object_new_string(text);
}

static struct json_object *convert(yaml_document_t *document, const yaml_node_t *node)
{
    struct json_object *o;
    ck_assert_ptr_nonnull(node);
    switch (node->type) {
    case YAML_SEQUENCE_NODE:
        o = json_object_new_array();
        for (const yaml_node_item_t *i = node->data.sequence.items.start;
             i < node->data.sequence.items.top; i++)
            json_object_array_add(o, convert(document, yaml_document_get_node(document, *i)));
        return o;
    case YAML_MAPPING_NODE:
        o = json_object_new_object();
        for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
             p < node->data.mapping.pairs.top; p++) {
            const yaml_node_t *key = yaml_document_get_node(document, p->key);
            const char *name = (const char *)key->data.scalar.value;
            ck_assert_msg(!json_object_object_get_ex(o, name, NULL), "'%s' comes twice", name);
            json_object_object_add(o, name,
                                   convert(document, yaml_document_get_node(document, p->value)));
        }
        return o;
    default:
        return scalar(node);
    }
}

static void load(void)
{
    uint8_t *text;
    size_t size;
    yaml_parser_t parser;
    yaml_document_t document;
    ck_ok(crn_file_read_all(CRN_TEST_SOURCE_ROOT "/docs/openapi.yaml", 1 << 20, &text, &size,
                            reterr));
    ck_assert_int_eq(yaml_parser_initialize(&parser), 1);
    yaml_parser_set_input_string(&parser, text, size);
    ck_assert_msg(yaml_parser_load(&parser, &document) == 1, "line %zu: %s",
                  parser.problem_mark.line + 1, parser.problem);
    api = convert(&document, yaml_document_get_root_node(&document));
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    free(text);
}

static struct json_object *get(struct json_object *o, const char *name)
{
    struct json_object *value = NULL;
    return json_object_object_get_ex(o, name, &value) ? value : NULL;
}

static struct json_object *must_get(struct json_object *o, const char *name)
{
    struct json_object *value = get(o, name);
    ck_assert_msg(value != NULL, "no '%s' in %.200s", name, json_object_to_json_string(o));
    return value;
}

/* "#/components/schemas/Job" -> its object, and "Job". */
static struct json_object *resolve(struct json_object *o, const char **ret_name)
{
    struct json_object *ref = get(o, "$ref");
    if (ref == NULL)
        return o;
    char path[200], *rest = path, *part;
    (void)snprintf(path, sizeof path, "%s", json_object_get_string(ref));
    ck_assert_str_eq(strsep(&rest, "/"), "#");
    o = api;
    while ((part = strsep(&rest, "/")) != NULL)
        o = must_get(o, part);
    *ret_name = strrchr(json_object_get_string(ref), '/') + 1;
    return o;
}

/* ------------------------------------------------------------------------------------------ *
 * Bodies against schemas
 * ------------------------------------------------------------------------------------------ */

static bool is_of_type(struct json_object *value, const char *type)
{
    static const struct {
        const char *name;
        enum json_type type;
    } types[] = {{"null", json_type_null},   {"boolean", json_type_boolean},
                 {"integer", json_type_int}, {"string", json_type_string},
                 {"array", json_type_array}, {"object", json_type_object}};
    for (size_t i = 0; i < CRN_COUNT(types); i++)
        if (strcmp(types[i].name, type) == 0)
            return json_object_is_type(value, types[i].type);
    ck_abort_msg("what is the type '%s'?", type);
}

static bool has_type(struct json_object *schema, struct json_object *value)
{
    struct json_object *type = get(schema, "type");
    if (type == NULL)
        return true;
    if (json_object_is_type(type, json_type_string))
        return is_of_type(value, json_object_get_string(type));
    for (size_t i = 0; i < json_object_array_length(type); i++)
        if (is_of_type(value, json_object_get_string(json_object_array_get_idx(type, i))))
            return true;
    return false;
}

static bool has_word(struct json_object *schema, struct json_object *value)
{
    struct json_object *words = get(schema, "enum");
    for (size_t i = 0; words != NULL && i < json_object_array_length(words); i++)
        if (json_object_equal(json_object_array_get_idx(words, i), value))
            return true;
    return words == NULL;
}

static void note(const char *name, const char *property)
{
    char key[200];
    (void)snprintf(key, sizeof key, "%s.%s", name, property);
    json_object_object_add(seen, key, json_object_new_boolean(1));
}

static void check(struct json_object *schema, struct json_object *value, const char *where);

static void check_object(struct json_object *schema, const char *name, struct json_object *value,
                         const char *where)
{
    struct json_object *properties = get(schema, "properties"), *required = get(schema, "required");
    struct json_object *more = get(schema, "additionalProperties");
    char inner[400];
    json_object_object_foreach(value, key, member_value)
    {
        struct json_object *property = get(properties, key);
        (void)snprintf(inner, sizeof inner, "%.300s.%s", where, key);
        ck_assert_msg(property != NULL || json_object_is_type(more, json_type_object),
                      "%s is not in the schema", inner);
        if (property != NULL && member_value != NULL)
            note(name, key);
        check(property != NULL ? property : more, member_value, inner);
    }
    for (size_t i = 0; required != NULL && i < json_object_array_length(required); i++) {
        const char *name_wanted = json_object_get_string(json_object_array_get_idx(required, i));
        ck_assert_msg(json_object_object_get_ex(value, name_wanted, NULL), "%s.%s is missing",
                      where, name_wanted);
        (void)must_get(properties, name_wanted);
    }
}

static void check(struct json_object *schema, struct json_object *value, const char *where)
{
    const char *name = where;
    schema = resolve(schema, &name);
    struct json_object *either = get(schema, "oneOf");
    if (either != NULL) { /* something, or null */
        ck_assert_uint_eq(json_object_array_length(either), 2);
        if (value != NULL)
            check(json_object_array_get_idx(either, 0), value, where);
        return;
    }
    ck_assert_msg(has_type(schema, value) && has_word(schema, value), "%s is %s", where,
                  json_object_to_json_string(value));
    if (json_object_is_type(value, json_type_object))
        check_object(schema, name, value, where);
    for (size_t i = 0;
         json_object_is_type(value, json_type_array) && i < json_object_array_length(value); i++)
        check(must_get(schema, "items"), json_object_array_get_idx(value, i), where);
}

/* The operation, as "GET /v1/triggers/{trigger_id}". */
static struct json_object *find_operation(const char *method, const char *path)
{
    char lower[16];
    size_t i = 0;
    for (; method[i] != '\0' && i < sizeof lower - 1; i++)
        lower[i] = (char)(method[i] | 0x20);
    lower[i] = '\0';
    return must_get(must_get(must_get(api, "paths"), path), lower);
}

/* Ask, and hold the answer against the file. */
static struct answer ask(const char *method, const char *pattern, const char *path,
                         const char *body)
{
    char status[8];
    const char *name = pattern;
    struct answer answer = elsewhere != NULL ? request_at(elsewhere, NULL, method, path, body)
                                             : request(&c, method, path, body);
    (void)snprintf(status, sizeof status, "%u", answer.status);
    struct json_object *responses = must_get(find_operation(method, pattern), "responses");
    ck_assert_msg(get(responses, status) != NULL, "%s %s: status %s is not in the file: %s", method,
                  path, status, answer.body);
    struct json_object *response = resolve(must_get(responses, status), &name);
    struct json_object *content = must_get(response, "content");
    struct json_object *json = get(content, "application/json");
    if (json != NULL) {
        ck_assert_msg(answer.json != NULL, "%s %s: %s", method, path, answer.body);
        check(must_get(json, "schema"), answer.json, path);
    } else {
        ck_assert_ptr_nonnull(get(content, "text/plain"));
        ck_assert_ptr_nonnull(strstr(answer.headers, "Content-Type: text/plain"));
    }
    return answer;
}

static void look(const char *pattern, const char *path, unsigned status)
{
    AUTO_ANSWER answer = ask("GET", pattern, path, NULL);
    ck_assert_msg(answer.status == status, "%s: %u %s", path, answer.status, answer.body);
}

static void look_everywhere(int64_t id)
{
    static const char *const paths[] = {"/v1/job",       "/v1/tasks",      "/v1/workers",
                                        "/v1/operators", "/v1/config",     "/v1/triggers",
                                        "/metrics",      "/v1/checkpoints"};
    char path[100];
    for (size_t i = 0; i < CRN_COUNT(paths); i++)
        look(paths[i], paths[i], 200);
    (void)snprintf(path, sizeof path, "/v1/checkpoints/%lld", (long long)id);
    look("/v1/checkpoints/{id}", path, 200);
}

static struct answer carry_out(const char *path, const char *body, const char *state)
{
    AUTO_ANSWER accepted = ask("POST", path, path, body);
    ck_assert_uint_eq(accepted.status, 202);
    struct answer ended = follow(&c, &accepted);
    look("/v1/triggers/{trigger_id}", text_of(&accepted, "location"), 200);
    ck_assert_msg(strcmp(text_of(&ended, "state"), state) == 0, "%s", ended.body);
    return ended;
}

/* ------------------------------------------------------------------------------------------ *
 * Tests
 * ------------------------------------------------------------------------------------------ */

static void setup(void)
{
    load();
    seen = json_object_new_object();
    controlled_init(&c, false);
}

static void teardown(void)
{
    controlled_done(&c);
    json_object_put(seen);
    json_object_put(api);
}

/* A job that does everything once, for as many different answers as there are. */
static void live_a_life(void)
{
    controlled_start(&c);
    look("/v1/job", "/v1/job", 200);
    look("/v1/checkpoints", "/v1/checkpoints", 200);
    AUTO_ANSWER first = carry_out("/v1/checkpoints", "{\"full\":true}", "completed");
    look_everywhere(number_of(&first, "snapshot.id"));
    AUTO_ANSWER second = carry_out("/v1/checkpoints", NULL, "completed");
    ck_assert_int_gt(number_of(&second, "snapshot.id"), number_of(&first, "snapshot.id"));
    look("/v1/checkpoints", "/v1/checkpoints?limit=1", 200);
    AUTO_ANSWER savepoint = carry_out("/v1/savepoints", "{\"format\":\"native\"}", "completed");
    look_everywhere(number_of(&savepoint, "snapshot.id"));
    AUTO_ANSWER failed = carry_out("/v1/savepoints", "{\"target\":\"ftp://x\"}", "failed");
    ck_assert_ptr_null(member(&failed, "snapshot"));
    look_everywhere(number_of(&first, "snapshot.id"));
}

/* Its tasks do not poll: there is something in flight, and it fails. */
static void hang(void)
{
    c.f.options.checkpoint_timeout_ms = 600;
    controlled_start(&c);
    controlled_stop_pump(&c);
    AUTO_ANSWER stuck = ask("POST", "/v1/savepoints", "/v1/savepoints", NULL);
    AUTO_ANSWER late = carry_out("/v1/checkpoints", NULL, "failed");
    ck_assert_ptr_nonnull(member(&late, "error"));
    answer_done(&stuck);
    stuck = ask("POST", "/v1/savepoints", "/v1/savepoints", NULL);
    AUTO_ANSWER all = ask("GET", "/v1/checkpoints", "/v1/checkpoints", NULL);
    while (json_object_array_length(member(&all, "in_flight")) == 0) {
        answer_done(&all);
        all = ask("GET", "/v1/checkpoints", "/v1/checkpoints", NULL);
    }
    look_everywhere(number_of(&all, "in_flight.0.id"));
    AUTO_ANSWER end = follow(&c, &stuck);
    ck_assert_str_eq(text_of(&end, "state"), "failed");
    look_everywhere(number_of(&all, "in_flight.0.id"));
}

/* A coordinator and a worker, which is waited for. */
static void live_in_two_processes(void)
{
    static struct crew crew;
    char addresses[2][300];
    crew_init(&crew, 1);
    for (uint32_t i = 0; i < 2; i++) {
        (void)snprintf(addresses[i], sizeof addresses[i], "unix:%s/%u.sock", crew.f.root, i);
        crew.members[i].f.options.control = addresses[i];
    }
    crew_must_start(&crew);
    for (uint64_t id = 2; id < 4; id++) { /* 1 is the start's */
        elsewhere = addresses[0];
        ck_ok(cairn_job_trigger(crew_job(&crew), NULL, reterr));
        AUTO_ANSWER job = ask("GET", "/v1/job", "/v1/job", NULL);
        while (number_of(&job, "in_flight_count") == 0) {
            answer_done(&job);
            job = ask("GET", "/v1/job", "/v1/job", NULL);
        }
        look_everywhere((int64_t)id);
        ck_assert_int_eq(crew_await_event(&crew, 1, CAIRN_EVENT_COMPLETED), (int64_t)id);
        elsewhere = addresses[1];
        look_everywhere((int64_t)id);
        AUTO_ANSWER order = ask("POST", "/v1/stop", "/v1/stop", NULL);
        ck_assert_uint_eq(order.status, 409);
    }
    elsewhere = NULL;
    crew_done(&crew);
}

static void make_mistakes(void)
{
    static char large[70000];
    memset(large, ' ', sizeof large - 1);
    static const struct {
        const char *method, *pattern, *path, *body;
        unsigned status;
    } mistakes[] = {
        {"GET", "/v1/job", "/v1/job?x=1", NULL, 400},
        {"GET", "/v1/checkpoints/{id}", "/v1/checkpoints/999", NULL, 404},
        {"GET", "/v1/triggers/{trigger_id}", "/v1/triggers/9-9", NULL, 404},
        {"POST", "/v1/checkpoints", "/v1/checkpoints", "{", 400},
        {"POST", "/v1/savepoints", "/v1/savepoints", large, 413},
    };
    for (size_t i = 0; i < CRN_COUNT(mistakes); i++) {
        AUTO_ANSWER answer =
            ask(mistakes[i].method, mistakes[i].pattern, mistakes[i].path, mistakes[i].body);
        ck_assert_uint_eq(answer.status, mistakes[i].status);
    }
}

/* Of these, this job has nothing. */
static bool is_exempt(const char *key)
{
    static const char *const exempt[] = {"Gate.",
                                         "Task.gate",
                                         "Restored.location",
                                         "Job.reason",
                                         "Job.store_caveat",
                                         "Schema.version",
                                         "ErrorBody.object",
                                         "Ended.failed_uid",
                                         "Ended.failed_subtask",
                                         "InFlight.reason"};
    for (size_t i = 0; i < CRN_COUNT(exempt); i++)
        if (strncmp(key, exempt[i], strlen(exempt[i])) == 0)
            return true;
    return false;
}

START_TEST(answers_fit_their_schemas)
{
    live_a_life();
    make_mistakes();
    controlled_close(&c);
    hang();
    controlled_close(&c);
    c.f.options.checkpoint_timeout_ms = 0;
    controlled_start(&c); /* from a checkpoint: there is more to tell */
    look("/v1/job", "/v1/job", 200);
    look("/v1/checkpoints", "/v1/checkpoints", 200);
    live_in_two_processes();
    json_object_object_foreach(must_get(must_get(api, "components"), "schemas"), name, schema)
    {
        struct json_object *properties = get(schema, "properties");
        bool is_request = strstr(name, "Request") != NULL;
        if (properties == NULL || is_request)
            continue;
        json_object_object_foreach(properties, property, ignored)
        {
            char key[200];
            (void)ignored;
            (void)snprintf(key, sizeof key, "%s.%s", name, property);
            ck_assert_msg(get(seen, key) != NULL || is_exempt(key), "no answer has had %s", key);
        }
    }
}
END_TEST

static void check_parameters(const struct crn_route *route, struct json_object *operation)
{
    struct json_object *parameters = get(operation, "parameters");
    size_t in_path = 0, in_query = 0;
    for (size_t i = 0; parameters != NULL && i < json_object_array_length(parameters); i++) {
        struct json_object *p = json_object_array_get_idx(parameters, i);
        const char *name = json_object_get_string(must_get(p, "name"));
        if (strcmp(json_object_get_string(must_get(p, "in")), "path") == 0) {
            char braces[64];
            (void)snprintf(braces, sizeof braces, "{%s}", name);
            ck_assert_ptr_nonnull(strstr(route->path, braces));
            in_path++;
            continue;
        }
        ck_assert_uint_lt(in_query, CRN_ROUTE_PARAMETERS);
        const struct crn_route_parameter *ours = &route->parameters[in_query++];
        struct json_object *schema = must_get(p, "schema");
        struct json_object *max = get(schema, "maximum"), *otherwise = get(schema, "default");
        ck_assert_str_eq(ours->name, name);
        ck_assert_uint_eq(ours->min, (uint64_t)json_object_get_int64(must_get(schema, "minimum")));
        ck_assert_uint_eq(ours->max, max ? (uint64_t)json_object_get_int64(max) : INT64_MAX);
        ck_assert_uint_eq(ours->otherwise,
                          otherwise ? (uint64_t)json_object_get_int64(otherwise) : 0);
    }
    ck_assert_uint_eq(in_path, strchr(route->path, '{') != NULL);
    ck_assert(in_query == CRN_ROUTE_PARAMETERS || route->parameters[in_query].name == NULL);
}

START_TEST(operations_are_routes)
{
    size_t routes, operations = 0, size;
    uint8_t *page;
    const struct crn_route *route = crn_routes(&routes);
    ck_ok(crn_file_read_all(CRN_TEST_SOURCE_ROOT "/docs/rest.md", 1 << 20, &page, &size, reterr));
    for (size_t i = 0; i < routes; i++) {
        char words[100];
        check_parameters(&route[i], find_operation(route[i].method, route[i].path));
        (void)snprintf(words, sizeof words, "| `%s %s` |", route[i].method, route[i].path);
        ck_assert_msg(strstr((const char *)page, words) != NULL, "docs/rest.md lacks %s", words);
    }
    json_object_object_foreach(must_get(api, "paths"), path, methods)
    {
        (void)path;
        operations += (size_t)json_object_object_length(methods);
    }
    ck_assert_uint_eq(operations, routes);
    free(page);
}
END_TEST

static int read_order(enum crn_order_kind kind, struct json_object *body)
{
    struct crn_order order = {0};
    const char *text = json_object_to_json_string(body);
    int r = crn_order_read(kind, text, strlen(text), &order, NULL);
    crn_order_done(&order);
    return r;
}

START_TEST(request_schemas_are_what_is_accepted)
{
    static const struct {
        enum crn_order_kind kind;
        const char *path;
    } orders[] = {{CRN_ORDER_CHECKPOINT, "/v1/checkpoints"},
                  {CRN_ORDER_SAVEPOINT, "/v1/savepoints"},
                  {CRN_ORDER_STOP, "/v1/stop"},
                  {CRN_ORDER_CANCEL, "/v1/cancel"}};
    static const char *const known[] = {"full",   "savepoint",     "format",
                                        "target", "link_previous", "drain"};
    for (size_t i = 0; i < CRN_COUNT(orders); i++) {
        const char *name;
        struct json_object *body = must_get(find_operation("POST", orders[i].path), "requestBody");
        struct json_object *json = must_get(must_get(body, "content"), "application/json");
        struct json_object *schema = resolve(must_get(json, "schema"), &name);
        struct json_object *properties = must_get(schema, "properties");
        ck_assert(!json_object_get_boolean(must_get(schema, "additionalProperties")));
        json_object_object_foreach(properties, field, property)
        {
            struct json_object *request_body = json_object_new_object();
            struct json_object *otherwise = get(property, "default");
            json_object_object_add(request_body, field, NULL);
            ck_assert_int_eq(read_order(orders[i].kind, request_body), 0);
            if (orders[i].kind == CRN_ORDER_CANCEL)
                json_object_object_add(request_body, "savepoint", json_object_new_boolean(1));
            if (otherwise != NULL)
                json_object_object_add(request_body, field, json_object_get(otherwise));
            ck_assert_int_eq(read_order(orders[i].kind, request_body), 0);
            json_object_put(request_body);
        }
        for (size_t k = 0; k < CRN_COUNT(known); k++) {
            struct json_object *request_body = json_object_new_object();
            json_object_object_add(request_body, known[k], NULL);
            ck_assert_int_eq(read_order(orders[i].kind, request_body),
                             json_object_object_get_ex(properties, known[k], NULL) ? 0
                                                                                   : CAIRN_EINVAL);
            json_object_put(request_body);
        }
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("control_openapi");
    TCase *t = tcase_create("openapi");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, answers_fit_their_schemas);
    tcase_add_test(t, operations_are_routes);
    tcase_add_test(t, request_schemas_are_what_is_accepted);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return crn_test_run(suite());
}
