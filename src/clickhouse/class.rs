//! Of what class an error is: what may be done after it.

/// What may be done after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The statement had no effect, or its effect may be repeated; it may well succeed later.
    Retry,
    /// It is not known whether the statement took effect. The same bytes with the same token may be
    /// sent again.
    Ambiguous,
    /// The server refuses these rows, and will again; others it may take.
    Rows,
    /// It will fail again, whatever the rows.
    Fatal,
}

impl ErrorClass {
    /// The class of the server's errors of this code.
    pub(super) fn of_code(code: u32) -> Self {
        if RETRY.contains(&code) {
            Self::Retry
        } else if AMBIGUOUS.contains(&code) {
            Self::Ambiguous
        } else if ROWS.contains(&code) {
            Self::Rows
        } else {
            Self::Fatal
        }
    }
}

impl ErrorClass {
    /// Whether an error of this code ends a statement at any moment, also when its rows were
    /// written and only its views were not done.
    pub(super) fn ended_from_outside(code: u32) -> bool {
        // TIMEOUT_EXCEEDED, ABORTED, QUERY_WAS_CANCELLED, THREAD_WAS_CANCELED,
        // QUERY_WAS_CANCELLED_BY_CLIENT
        [159, 236, 394, 677, 735].contains(&code)
    }
}

/// Codes that pass with time or with another attempt. Names from ClickHouse's
/// [ErrorCodes.cpp](https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp).
const RETRY: &[u32] = &[
    3,    // UNEXPECTED_END_OF_FILE: the request was cut
    23,   // CANNOT_READ_FROM_ISTREAM: the request was cut
    24,   // CANNOT_WRITE_TO_OSTREAM
    32,   // ATTEMPT_TO_READ_AFTER_EOF: the request was cut
    33,   // CANNOT_READ_ALL_DATA: the request was cut
    40,   // CHECKSUM_DOESNT_MATCH: the request was damaged
    75,   // CANNOT_WRITE_TO_FILE_DESCRIPTOR: the disk is full
    76,   // CANNOT_OPEN_FILE: too many open files
    86,   // RECEIVED_ERROR_FROM_REMOTE_IO_SERVER
    95,   // CANNOT_READ_FROM_SOCKET
    96,   // CANNOT_WRITE_TO_SOCKET
    159,  // TIMEOUT_EXCEEDED
    173,  // CANNOT_ALLOCATE_MEMORY
    198,  // DNS_ERROR
    201,  // QUOTA_EXCEEDED
    202,  // TOO_MANY_SIMULTANEOUS_QUERIES
    203,  // NO_FREE_CONNECTION
    209,  // SOCKET_TIMEOUT
    210,  // NETWORK_ERROR
    225,  // NO_ZOOKEEPER
    232,  // NO_SUCH_DATA_PART: it was merged away
    234,  // NO_REPLICA_HAS_PART
    236,  // ABORTED: the server is shutting down
    241,  // MEMORY_LIMIT_EXCEEDED
    242,  // TABLE_IS_READ_ONLY: a replica lost its keeper
    243,  // NOT_ENOUGH_SPACE
    252,  // TOO_MANY_PARTS
    254,  // NO_ACTIVE_REPLICAS
    271,  // CANNOT_DECOMPRESS: the request was damaged
    279,  // ALL_CONNECTION_TRIES_FAILED
    285,  // TOO_FEW_LIVE_REPLICAS
    286,  // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    289,  // REPLICA_IS_NOT_IN_QUORUM
    290,  // LIMIT_EXCEEDED
    364,  // RECEIVED_ERROR_TOO_MANY_REQUESTS
    373,  // SESSION_IS_LOCKED
    384,  // PART_IS_TEMPORARILY_LOCKED
    394,  // QUERY_WAS_CANCELLED
    425,  // SYSTEM_ERROR
    439,  // CANNOT_SCHEDULE_TASK
    473,  // DEADLOCK_AVOIDED
    499,  // S3_ERROR
    500,  // AZURE_BLOB_STORAGE_ERROR
    677,  // THREAD_WAS_CANCELED
    693,  // AWS_ERROR
    700,  // USER_SESSION_LIMIT_EXCEEDED
    733,  // TABLE_IS_BEING_RESTARTED
    734,  // CANNOT_WRITE_AFTER_BUFFER_CANCELED
    735,  // QUERY_WAS_CANCELLED_BY_CLIENT
    745,  // SERVER_OVERLOADED
    749,  // TCP_CONNECTION_LIMIT_REACHED
    762,  // HTTP_CONNECTION_LIMIT_REACHED
    776,  // RESOURCE_LIMIT_EXCEEDED
    777,  // MEMORY_RESERVATION_KILLED
    778,  // MEMORY_RESERVATION_FAILED
    999,  // KEEPER_EXCEPTION
    1000, // POCO_EXCEPTION: a network error inside the server
    1001, // STD_EXCEPTION: of the C++ library, such as one for a full disk or a failed allocation
];

/// The outcome is not known.
const AMBIGUOUS: &[u32] = &[
    319, // UNKNOWN_STATUS_OF_INSERT: of the quorum, or of the keeper
    659, // UNKNOWN_STATUS_OF_TRANSACTION
];

/// Codes that are about values.
const ROWS: &[u32] = &[
    6,   // CANNOT_PARSE_TEXT
    25,  // CANNOT_PARSE_ESCAPE_SEQUENCE
    26,  // CANNOT_PARSE_QUOTED_STRING
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    69,  // ARGUMENT_OUT_OF_BOUND
    70,  // CANNOT_CONVERT_TYPE
    72,  // CANNOT_PARSE_NUMBER
    117, // INCORRECT_DATA
    128, // TOO_LARGE_ARRAY_SIZE
    131, // TOO_LARGE_STRING_SIZE
    153, // ILLEGAL_DIVISION
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    376, // CANNOT_PARSE_UUID
    395, // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
    407, // DECIMAL_OVERFLOW
    441, // CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
    467, // CANNOT_PARSE_BOOL
    469, // VIOLATED_CONSTRAINT
    675, // CANNOT_PARSE_IPV4
    676, // CANNOT_PARSE_IPV6
    691, // UNKNOWN_ELEMENT_OF_ENUM
];
