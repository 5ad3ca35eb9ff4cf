/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRN_STATE_ROCKSDB_MANIFEST_TAGS_H
#define CRN_STATE_ROCKSDB_MANIFEST_TAGS_H

/* What stands in RocksDB's version edits, for their reader and their writer. */

#define COMPARATOR "leveldb.BytewiseComparator"
#define CHECKSUM_FUNCTION "FileChecksumCrc32c"
#define INTERNAL_KEY_TAIL 8u /* sequence number and type behind a user key */

enum edit_tag {
    TAG_COMPARATOR = 1,
    TAG_LOG_NUMBER = 2,
    TAG_NEXT_FILE_NUMBER = 3,
    TAG_LAST_SEQUENCE = 4,
    TAG_COMPACT_CURSOR = 5,
    TAG_DELETED_FILE = 6,
    TAG_PREV_LOG_NUMBER = 9,
    TAG_MIN_LOG_NUMBER_TO_KEEP = 10,
    TAG_NEW_FILE_4 = 103,
    TAG_COLUMN_FAMILY = 200,
    TAG_COLUMN_FAMILY_ADD = 201,
    TAG_COLUMN_FAMILY_DROP = 202,
    TAG_MAX_COLUMN_FAMILY = 203,
    TAG_IN_ATOMIC_GROUP = 300,
    TAG_BLOB_FILE_ADDITION = 400,
    TAG_BLOB_FILE_GARBAGE = 401,
    TAG_SAFE_TO_SKIP = 1 << 13,
    /* These carry the bit but no length. */
    TAG_OLD_BLOB_FILE_ADDITION = 8194,
    TAG_OLD_WAL_DELETION = 8197
};

enum file_tag {
    FILE_END = 1,
    FILE_OLDEST_BLOB_FILE = 4,
    FILE_OLDEST_TIME = 5,
    FILE_CREATION_TIME = 6,
    FILE_CHECKSUM = 7,
    FILE_CHECKSUM_FUNCTION = 8,
    FILE_UNIQUE_ID = 12,
    FILE_MUST_KNOW = 1 << 6,
    FILE_PATH_ID = 65
};

#endif
