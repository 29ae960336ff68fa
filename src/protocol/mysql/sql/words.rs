//! Words by which statements are told apart, packed so that comparing them is one comparison of numbers.

/// What makes letters lower case, in every byte of a packed word.
const LOWER: u128 = u128::from_be_bytes([0x20; 16]);

/// The longest word that is packed.
const LONGEST: usize = 16;

/// A word of up to 16 bytes, its letters in lower case; a longer one is none.
#[inline]
pub(super) fn pack(word: &[u8]) -> u128 {
    let len = word.len();
    // The first bytes and the last ones, which overlap: two loads instead of a copy of unknown length.
    let packed = if let (Some(first), Some(last), true) = (word.first_chunk(), word.last_chunk(), len <= LONGEST) {
        u128::from(u64::from_be_bytes(*first)) << (8 * (len - 8)) | u128::from(u64::from_be_bytes(*last))
    } else if let (Some(first), Some(last), true) = (word.first_chunk(), word.last_chunk(), len < 8) {
        u128::from(u64::from(u32::from_be_bytes(*first)) << (8 * (len - 4)) | u64::from(u32::from_be_bytes(*last)))
    } else {
        match *word {
            [a] => u128::from(a),
            [a, b] => u128::from(u16::from_be_bytes([a, b])),
            [a, b, c] => u128::from(u32::from_be_bytes([0, a, b, c])),
            _ => return 0,
        }
    };
    packed | LOWER >> (8 * (LONGEST - len))
}

/// The same when the program is built.
const fn packed(word: &[u8]) -> u128 {
    if word.len() > 16 {
        return 0;
    }
    let mut value = 0_u128;
    let mut at = 0;
    while at < word.len() {
        value = value << 8 | (word[at] | 0x20) as u128;
        at += 1;
    }
    value
}

/// Defines a packed word for each name, and [`NOTED`].
macro_rules! words {
    ($($name:ident = $text:literal),* $(,)?) => {
        $(pub(super) const $name: u128 = packed($text.as_bytes());)*

        /// By a word's first byte in lower case: the lengths of the words above that begin so, a bit each.
        const NOTED: [u32; 256] = {
            let mut lengths = [0; 256];
            $(lengths[$text.as_bytes()[0] as usize] |= 1 << $text.len();)*
            lengths
        };
    };
}

/// False for a word that is none of those above, nor begins with one of 16 bytes. True for some that aren't either.
#[inline]
pub(super) fn may_be_noted(word: &[u8]) -> bool {
    let first = word.first().map_or(0, |byte| byte | 0x20);
    NOTED[usize::from(first)] >> word.len().min(LONGEST) & 1 != 0
}

words! {
    ALTER = "alter", ANALYZE = "analyze", BACKUP = "backup", BEGIN = "begin", BINLOG = "binlog", CACHE = "cache",
    CALL = "call", CHAIN = "chain", CHANGE = "change", CHAR = "char", CHARACTER = "character", CHARSET = "charset",
    CHECK = "check", CHECKSUM = "checksum", CLONE = "clone", COMMIT = "commit", CONNECTION = "connection",
    CREATE = "create", DEALLOCATE = "deallocate", DEFAULT = "default", DELETE = "delete", DESC = "desc",
    DESCRIBE = "describe", DIAGNOSTICS = "diagnostics", DROP = "drop", DUMPFILE = "dumpfile", ERRORS = "errors",
    ERROR_COUNT = "error_count", EXECUTE = "execute", EXPLAIN = "explain", EXPORT = "export", FALSE = "false",
    FLUSH = "flush", FOR = "for", FORMAT = "format", FOUND_ROWS = "found_rows", GET = "get", GET_LOCK = "get_lock",
    GLOBAL = "global", GRANT = "grant", GROUP = "group", HANDLER = "handler", HARD = "hard", HELP = "help",
    IDENTITY = "identity", IMPORT = "import", IN = "in", INSERT = "insert", INSTALL = "install", INTO = "into",
    KILL = "kill", LAST_INSERT_ID = "last_insert_id", LOAD = "load", LOCAL = "local", LOCK = "lock", NAMES = "names",
    NEXT = "next", NEXTVAL = "nextval", NO = "no", NULL = "null", OPTIMIZE = "optimize", OUTFILE = "outfile",
    PASSWORD = "password", PERSIST = "persist", PERSIST_ONLY = "persist_only", PREPARE = "prepare",
    PREVIOUS = "previous", PURGE = "purge", QUERY = "query", READ = "read", RELEASE = "release",
    RELEASE_ALL_LOCKS = "release_all_lock", RELEASE_LOCK = "release_lock", RENAME = "rename", REPAIR = "repair",
    REPLACE = "replace", RESET = "reset", RESOURCE = "resource", RESTART = "restart", REVOKE = "revoke",
    ROLE = "role", ROLLBACK = "rollback", ROW_COUNT = "row_count", SAVEPOINT = "savepoint", SELECT = "select",
    SESSION = "session", SET = "set", SHARE = "share", SHOW = "show", SHUTDOWN = "shutdown", SOCKET = "socket",
    SOFT = "soft", SQL_CALC = "sql_calc_found_r", START = "start", STATEMENT = "statement", STOP = "stop",
    TABLE = "table", TEMPORARY = "temporary", TO = "to", TRANSACTION = "transaction", TRUE = "true",
    TRUNCATE = "truncate", UNINSTALL = "uninstall", UNLOCK = "unlock", UPDATE = "update", USE = "use",
    VALUE = "value", VALUES = "values", WARNINGS = "warnings", WARNING_COUNT = "warning_count", WITH = "with",
    WORK = "work", XA = "xa",
}

/// Functions, types and keywords that may stand before a parenthesis in a read and change nothing. Anything else before one may be a stored
/// function, which may do anything.
const HARMLESS: &str = "\
abs acos adddate addtime aes_decrypt aes_encrypt all and any any_value as ascii asin atan atan2 avg benchmark between \
bigint bin bin_to_uuid binary bit_and bit_count bit_length bit_or bit_xor by case cast ceil ceiling char char_length \
character character_length charset coalesce coercibility collate collation columns compress concat concat_ws \
connection_id conv convert convert_tz cos cot count crc32 crc32c cross cube cume_dist curdate current_date \
current_role current_time current_timestam current_user curtime database date date_add date_format date_sub datediff \
datetime day dayname dayofmonth dayofweek dayofyear decimal decode default degrees dense_rank distance distinct \
distinctrow div double else elt encode encrypt end escape except exists exp export_set extract extractvalue field \
find_in_set first_value float floor for force format format_bytes format_pico_time found_rows from from_base64 \
from_days from_unixtime from_vector full geomcollection geometry geometrycollecti get_format get_lock greatest group \
group_concat grouping gtid_subset gtid_subtract having hex hour if ifnull ignore in index inet6_aton inet6_ntoa \
inet_aton inet_ntoa inner insert instr int integer intersect interval is is_free_lock is_ipv4 is_ipv4_compat \
is_ipv4_mapped is_ipv6 is_used_lock is_uuid isnull join json_array json_array_appen json_array_inser json_array_inter \
json_arrayagg json_compact json_contains json_contains_pa json_depth json_detailed json_equals json_exists \
json_extract json_insert json_keys json_length json_loose json_merge json_merge_patch json_merge_prese json_normalize \
json_object json_object_filt json_object_to_a json_objectagg json_overlaps json_pretty json_query json_quote \
json_remove json_replace json_schema_vali json_search json_set json_storage_fre json_storage_siz json_table json_type \
json_unquote json_valid json_value key lag last_day last_insert_id last_value lateral lcase lead least left length \
like limit linestring ln load_file localtime localtimestamp locate log log10 log2 lower lpad ltrim make_set makedate \
maketime master_pos_wait match max mbr_intersects mbrcontains mbrcoveredby mbrcovers mbrdisjoint mbrequals \
mbrintersects mbroverlaps mbrtouches mbrwithin md5 median member microsecond mid min minus minute mod month monthname \
multilinestring multipoint multipolygon name_const natural natural_sort_key nchar not now nth_value ntile nullif nvl \
nvl2 oct octet_length of offset on or ord order outer over partition password percent_rank percentile_cont \
percentile_disc period_add period_diff pi point polygon position pow power precision ps_current_thre ps_thread_id \
quarter quote radians rand random_bytes range rank real recursive regexp regexp_instr regexp_like regexp_replace \
regexp_substr release_lock repeat replace reverse right rlike rollup round row row_count row_number rows rpad rtrim \
schema sec_to_time second select separator session_user set sformat sha sha1 sha2 sign signed sin sleep some soundex \
space sql_no_cache sqrt st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid st_contains \
st_convexhull st_crosses st_difference st_dimension st_disjoint st_distance st_endpoint st_envelope st_equals \
st_exteriorring st_geohash st_geometryn st_geometrytype st_geomfromgeojs st_geomfromtext st_geomfromwkb \
st_interiorringn st_intersection st_intersects st_isclosed st_isempty st_issimple st_isvalid st_latfromgeohas \
st_latitude st_length st_linefromtext st_longfromgeoha st_longitude st_makeenvelope st_mlinefromtext st_numgeometries \
st_numpoints st_overlaps st_pointfromtext st_pointn st_polyfromtext st_simplify st_srid st_startpoint st_swapxy \
st_symdifference st_touches st_transform st_union st_validate st_within st_x st_y statement_digest std stddev \
stddev_pop stddev_samp str_to_date straight_join strcmp string_to_vector subdate substr substring substring_index \
subtime sum sysdate system_user table tan then time time_format time_to_sec timediff timestamp timestampadd \
timestampdiff to_base64 to_char to_days to_seconds to_vector trim truncate ucase uncompress uncompressed_len unhex \
union unix_timestamp unsigned updatexml upper use user using utc_date utc_time utc_timestamp uuid uuid_short \
uuid_to_bin validate_passwor value values var_pop var_samp varbinary varchar variance vec_distance vec_fromtext \
vec_totext vector_dim version week weekday weekofyear weight_string when where window with within xor year yearweek";

const COUNT: usize = count(HARMLESS.as_bytes());

const fn count(text: &[u8]) -> usize {
    let (mut words, mut at) = (1, 0);
    while at < text.len() {
        if text[at] == b' ' {
            words += 1;
        }
        at += 1;
    }
    words
}

/// Places in the table of harmless words: a power of two, so many that most words stand in their own.
const PLACES: usize = 1024;

/// The harmless words, packed; each in its place or, if that is taken, in the next free one behind it.
static SPREAD: [u128; PLACES] = table();

const _: () = assert!(COUNT < PLACES / 2);

/// Where a packed word is looked for first.
#[inline]
const fn place(word: u128) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "all of its bits are mixed into those that are left")]
    let folded = (word ^ word >> 64) as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % PLACES
}

const fn table() -> [u128; PLACES] {
    let text = HARMLESS.as_bytes();
    let mut table = [0; PLACES];
    let (mut at, mut word) = (0, 0_u128);
    while at <= text.len() {
        if at == text.len() || text[at] == b' ' {
            let mut free = place(word);
            while table[free] != 0 {
                free = (free + 1) % PLACES;
            }
            table[free] = word;
            word = 0;
        } else {
            word = word << 8 | (text[at] | 0x20) as u128;
        }
        at += 1;
    }
    table
}

/// True for a word that may stand before a parenthesis and changes nothing. Words of more than 16 bytes are known by their first 16, unless
/// that would take in one that isn't harmless.
pub(super) fn harmless(word: &[u8]) -> bool {
    let packed = pack(word.get(..LONGEST).unwrap_or(word));
    let mut at = place(packed);
    while SPREAD[at] != 0 {
        if SPREAD[at] == packed {
            return true;
        }
        at = (at + 1) % PLACES;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_words_are_found() {
        for word in [
            "COUNT",
            "in",
            "Select",
            "uuid",
            "substring_index",
            "current_timestamp",
            "uncompressed_length",
            "inet6_aton",
            "outer",
        ] {
            assert!(harmless(word.as_bytes()), "{word}");
        }
        for word in ["my_function", "nextval", "setval", "counts", "", "sys_exec"] {
            assert!(!harmless(word.as_bytes()), "{word}");
        }
        let longest = "Abc$9_defGHIjklmnop";
        for len in 0..longest.len() {
            let word = &longest.as_bytes()[..len];
            assert_eq!(pack(word), packed(word), "{len}");
        }
        assert_eq!(pack(b"Update"), UPDATE);
        assert!(
            may_be_noted(b"UPDATE")
                && may_be_noted(b"sql_calc_found_rows")
                && !may_be_noted(b"")
                && !may_be_noted(b"id2")
        );
        assert_eq!(SPREAD.iter().filter(|word| **word != 0).count(), COUNT);
    }
}
