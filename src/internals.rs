//! What the project's own tests, benchmarks and fuzz targets use of the rooms. It is no part of the
//! library's interface and may change with any version.

#![allow(missing_docs, reason = "documented where they are defined")]

/// The room of the server.
pub mod clickhouse {
    pub use crate::clickhouse::{
        Connection, Endpoint, Error, ErrorClass, Password, QueryPrefix, Servers, Settings,
        Timeouts, WireCompression,
    };
}

/// Codecs.
pub mod formats {
    /// Blocks of columns.
    pub mod native {
        pub use crate::formats::native::{BlockBuilder, INSERT_SETTINGS, NativeLayout};
    }
    /// Rows.
    pub mod rowbinary {
        pub use crate::formats::rowbinary::{
            DataType, FramingError, RowFramer, RowGroup, RowLayout, TypeNameError,
            TypeNameErrorKind,
        };
    }
}

/// Job files.
pub mod job {
    pub use crate::job::{BindOptions, bind, load, reference};
}

/// The record of a load.
pub mod ledger {
    pub use crate::ledger::definition::{
        JobDefinition, LoadDefinition, TargetColumn, TargetDefinition,
    };
    pub use crate::ledger::{
        ChunkRecord, ChunkStatus, ClaimOptions, Definition, Ledger, LedgerError, LedgerLocation,
        LoadKey, LoadRecord, Publication, PublicationStep, ReplacedPartition, Timestamp,
        WorkerPart,
    };
    pub use crate::state::LoadState;
}

/// The map of look-up rows.
pub mod lookup {
    pub use crate::lookup::{FrozenLookupMap, GROUP, LookupHit, LookupMap, LookupRow, MapShape};
}

/// Waves and chunks.
pub mod plan {
    pub use crate::plan::{
        ChunkBounds, MemoryDemand, MemoryPlan, Partition, Plan, PlanError, PlanOptions, plan,
    };
}

/// One function for each fuzz target.
pub mod fuzzing {
    pub use crate::cli::fuzzing::{config_file, environment_file, values};
    pub use crate::clickhouse::fuzzing::{quoting, server_words, url};
    pub use crate::control::fuzzing::control_socket;
    pub use crate::formats::native::fuzzing::{native_block, native_stream};
    pub use crate::formats::rowbinary::fuzzing::{row_framing, type_name};
    pub use crate::job::fuzzing::{expression, job_file};
    pub use crate::ledger::fuzzing::ledger_file;
    pub use crate::lookup::fuzzing::lookup_rows;
}
