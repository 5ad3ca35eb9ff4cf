/* SPDX-License-Identifier: Apache-2.0 */

/* The words that stand for the library's enumerations, in tables and in JSON alike. They are part
 * of the tool's interface: scripts compare them. A number from a newer library is "unknown". */

#include "tools/cli/cli.h"

#define UNKNOWN "unknown"

const char *cli_kind_name(cairn_record_kind kind)
{
    switch (kind) {
    case CAIRN_RECORD_CHECKPOINT:
        return "checkpoint";
    case CAIRN_RECORD_SAVEPOINT:
        return "savepoint";
    case CAIRN_RECORD_ABORTED:
        return "aborted";
    case CAIRN_RECORD_FENCE:
        return "fence";
    }
    return UNKNOWN;
}

const char *cli_record_state_name(cairn_record_state state)
{
    switch (state) {
    case CAIRN_STATE_COMPLETE:
        return "complete";
    case CAIRN_STATE_SUBSUMED:
        return "subsumed";
    case CAIRN_STATE_ABORTED:
        return "aborted";
    case CAIRN_STATE_FENCE:
        return "fence";
    case CAIRN_STATE_UNREADABLE:
        return "unreadable";
    case CAIRN_STATE_SAVEPOINT:
        return "savepoint";
    }
    return UNKNOWN;
}

const char *cli_format_name(cairn_savepoint_format format)
{
    return format == CAIRN_NATIVE ? "native" : "canonical";
}

const char *cli_claim_name(cairn_claim_mode mode)
{
    switch (mode) {
    case CAIRN_NO_CLAIM:
        return "no-claim";
    case CAIRN_CLAIM:
        return "claim";
    case CAIRN_LEGACY:
        return "legacy";
    }
    return UNKNOWN;
}

enum cli_style cli_record_state_style(cairn_record_state state)
{
    switch (state) {
    case CAIRN_STATE_COMPLETE:
        return CLI_GOOD;
    case CAIRN_STATE_ABORTED:
        return CLI_WARN;
    case CAIRN_STATE_SAVEPOINT:
        break;
    case CAIRN_STATE_SUBSUMED:
    case CAIRN_STATE_FENCE:
        return CLI_DIM;
    case CAIRN_STATE_UNREADABLE:
        return CLI_BAD;
    }
    return CLI_PLAIN;
}

const char *cli_state_kind_name(cairn_state_kind kind)
{
    switch (kind) {
    case CAIRN_KIND_VALUE:
        return "value";
    case CAIRN_KIND_LIST:
        return "list";
    case CAIRN_KIND_MAP:
        return "map";
    case CAIRN_KIND_REDUCING:
        return "reducing";
    case CAIRN_KIND_AGGREGATING:
        return "aggregating";
    case CAIRN_KIND_OPERATOR_LIST:
        return "operator-list";
    case CAIRN_KIND_OPERATOR_UNION:
        return "operator-union";
    case CAIRN_KIND_BROADCAST:
        return "broadcast";
    }
    return UNKNOWN;
}

const char *cli_type_name(cairn_type type)
{
    switch (type) {
    case CAIRN_BYTES:
        return "bytes";
    case CAIRN_INT64:
        return "int64";
    case CAIRN_DOUBLE:
        return "double";
    case CAIRN_STRING:
        return "string";
    case CAIRN_STRUCT:
        return "struct";
    case CAIRN_AVRO:
        return "avro";
    case CAIRN_CUSTOM:
        return "custom";
    }
    return UNKNOWN;
}

char *cli_file_place(const cairn_file_info *file)
{
    CLI_AUTO_FREE char *object = cli_text_safe(file->object ? file->object : "(in the manifest)");
    if (file->object_size == 0)
        return cli_printf("%s", object);
    return cli_printf("%s at %" PRIu64, object, file->object_offset);
}

const char *cli_role_name(cairn_file_role role)
{
    switch (role) {
    case CAIRN_FILE_TABLE:
        return "table";
    case CAIRN_FILE_DATABASE:
        return "database";
    case CAIRN_FILE_OPERATOR_STATE:
        return "operator-state";
    case CAIRN_FILE_CANONICAL:
        return "canonical";
    case CAIRN_FILE_IN_FLIGHT:
        return "in-flight";
    }
    return UNKNOWN;
}

const char *cli_status_name(cairn_object_status status)
{
    switch (status) {
    case CAIRN_OBJECT_LIVE:
        return "live";
    case CAIRN_OBJECT_DEAD:
        return "dead";
    case CAIRN_OBJECT_UNRESOLVED:
        return "unresolved";
    case CAIRN_OBJECT_MANIFEST:
        return "manifest";
    case CAIRN_OBJECT_FOREIGN:
        return "foreign";
    case CAIRN_OBJECT_CLUSTER:
        return "cluster";
    case CAIRN_OBJECT_UNKNOWN:
        break;
    }
    return UNKNOWN;
}

bool cli_record_is_stored(const cairn_record_info *record)
{
    return record->log_start > 0;
}

bool cli_state_is_operator_state(cairn_state_kind kind)
{
    return kind >= CAIRN_KIND_OPERATOR_LIST;
}

bool cli_state_has_map_key(cairn_state_kind kind)
{
    return kind == CAIRN_KIND_MAP || kind == CAIRN_KIND_BROADCAST;
}
