//! Objects in one table of an SQLite file.

use std::{path::Path, time::Duration};

use pflow_store::backend::{
    Batch, Blocking, BlockingStorage, Capabilities, Commit, Conflict, DateTime, Durability, Error, ErrorKind,
    Key, Meta, Object, Operation, Result, Row, Span, Utc, Version, Versions, WriteKind,
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior};

/// How often the first connections to a file may prevent each other from turning on its log. Each time one of
/// them has made progress.
const FIRST_OPENS: usize = 1_000;

/// The id of a row is the version of its object. AUTOINCREMENT never gives an id twice, so a version never
/// comes back, also after a delete. BINARY compares names by their bytes, as keys are ordered.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE COLLATE BINARY,
    bytes BLOB NOT NULL,
    modified INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT";

/// A connection. Several of them, in any processes of this machine, are several handles of one storage.
pub(crate) struct Sqlite {
    pub(crate) connection: Connection,
    path: String,
}

impl Sqlite {
    /// Opens the file and creates it if it is not there. A call waits at most `patience` for the other
    /// connections, before it is refused as busy.
    pub(crate) async fn open(path: &Path, patience: Duration) -> Result<Blocking<Self>> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Self::connect(&path, patience).map(Blocking::new));
        opened.await.unwrap_or_else(|ended| {
            Err(Error::not_applied(ErrorKind::Unavailable, "Opening a database was ended").with_source(ended))
        })
    }

    /// As `open`, on the present thread.
    pub(crate) fn connect(path: &Path, patience: Duration) -> Result<Self> {
        let shown = path.display().to_string();
        let failed = not_applied(&shown, "open");
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(patience).map_err(failed)?;
        if turn_on_log(&connection).map_err(failed)? != "wal" {
            let what = format!("{shown} cannot have a write-ahead log where it is");
            return Err(Error::not_applied(ErrorKind::Unsafe, what));
        }
        // FULL syncs the log at every COMMIT; the default in this mode may lose the last ones with the power.
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        connection.execute_batch(TABLE).map_err(failed)?;
        let real = path.canonicalize().map_err(|error| {
            Error::not_applied(ErrorKind::Io, format!("Failed to find {shown}")).with_source(error)
        })?;
        Ok(Self { connection, path: real.display().to_string() })
    }
}

impl BlockingStorage for Sqlite {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Power, 64 << 20)
            .atomic_batch(true)
            .exact_conflicts(true)
            .conditional_delete(true)
            .immutable_puts(true)
    }

    fn get(&mut self, key: &Key) -> Result<Option<Object>> {
        let sql = "SELECT id, modified, bytes FROM objects WHERE name = ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(not_applied(&self.path, "read"))?;
        let object = |row: &rusqlite::Row| {
            let bytes: Vec<u8> = row.get(2)?;
            let meta = Meta::new(key.clone(), bytes.len() as u64, version(row.get(0)?), time(row.get(1)?));
            Ok(Object::new(meta, bytes))
        };
        statement.query_row([key.as_str()], object).optional().map_err(not_applied(&self.path, "read"))
    }

    fn page(&mut self, span: &Span) -> Result<Vec<Row>> {
        let sql = "SELECT name, length(bytes), modified FROM objects WHERE name > ?1 AND name < ?2
                   ORDER BY name LIMIT 500";
        let failed = not_applied(&self.path, "list");
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let row = |row: &rusqlite::Row| {
            Ok(Row::new(row.get::<_, String>(0)?, row.get::<_, i64>(1)?.unsigned_abs(), time(row.get(2)?)))
        };
        let rows = statement.query_map([&span.after, &span.before], row).map_err(failed)?;
        rows.collect::<rusqlite::Result<_>>().map_err(failed)
    }

    fn commit(&mut self, batch: &Batch) -> Result<Commit> {
        let failed = not_applied(&self.path, "write");
        // IMPORTANT: IMMEDIATE takes the lock of writers before the conditions are checked. Until COMMIT nothing
        // is in the file, and a transaction that is dropped is rolled back.
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(failed)?;
        for (at, operation) in batch.operations() {
            if stored(&transaction, operation).map_err(failed)?.is_some() {
                continue;
            }
            let current = current(&transaction, operation.key()).map_err(failed)?;
            if !operation.precondition().holds(current.as_ref()) {
                return Ok(Commit::Conflict(Conflict::new(at, current, 0)));
            }
        }
        let mut stages = Vec::new();
        for stage in batch.stages() {
            let versions = stage.iter().map(|operation| apply(&transaction, operation));
            stages.push(versions.collect::<rusqlite::Result<_>>().map_err(failed)?);
        }
        match transaction.execute_batch("COMMIT") {
            Ok(()) => Ok(Commit::Committed(Versions::new(stages))),
            // It has waited with the patience of the connection. The transaction is still open, and its drop
            // rolls it back.
            Err(error) if kind(&error) == ErrorKind::Busy && !transaction.is_autocommit() => {
                Err(failed(error))
            }
            // Whether any other COMMIT that failed is in the log is not known: its sync may have failed.
            Err(error) => {
                let kind =
                    Some(kind(&error)).filter(|kind| *kind != ErrorKind::Busy).unwrap_or(ErrorKind::Io);
                Err(Error::unknown(kind, format!("Failed to commit to {}", self.path)).with_source(error))
            }
        }
    }

    /// Moves the log into the file, so that the file alone is the storage. While another connection reads, a part
    /// stays in the log. PASSIVE does not wait for it; TRUNCATE would, with the lock of all writers.
    fn close(&mut self) -> Result<()> {
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        moved.map_err(not_applied(&self.path, "close"))
    }

    fn name(&self) -> Option<String> {
        Some(self.path.clone())
    }

    fn location_id(&self) -> Option<String> {
        Some(format!("sqlite:{}", self.path))
    }
}

/// Returns the mode of the journal. The change of mode does not wait for other connections as other statements
/// do, because its transaction begins as a reader. So it is repeated after a transaction that waits for them.
fn turn_on_log(connection: &Connection) -> rusqlite::Result<String> {
    let turn_on = || connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
    for _ in 0..FIRST_OPENS {
        match turn_on() {
            Err(error) if kind(&error) == ErrorKind::Busy => {
                connection.execute_batch("BEGIN IMMEDIATE; COMMIT")?
            }
            answer => return answer,
        }
    }
    turn_on()
}

fn current(transaction: &Transaction<'_>, key: &Key) -> rusqlite::Result<Option<Version>> {
    let mut statement = transaction.prepare_cached("SELECT id FROM objects WHERE name = ?1")?;
    statement.query_row([key.as_str()], |row| row.get(0).map(version)).optional()
}

/// Returns the version of the object, if the operation puts an immutable one that the table has with equal bytes.
fn stored(transaction: &Transaction<'_>, operation: &Operation) -> rusqlite::Result<Option<Version>> {
    let Operation::Put { key, kind: WriteKind::Immutable, .. } = operation else { return Ok(None) };
    let mut statement = transaction.prepare_cached("SELECT id, bytes FROM objects WHERE name = ?1")?;
    let row = |row: &rusqlite::Row| Ok((version(row.get(0)?), row.get::<_, Vec<u8>>(1)?));
    let found = statement.query_row([key.as_str()], row).optional()?;
    Ok(found.filter(|(_, bytes)| operation.is_stored_as(bytes)).map(|(version, _)| version))
}

/// A put replaces the row, so that it has a new id. An immutable object that is stored keeps its row. A database
/// needs no other [`WriteKind`]: all writes are swaps.
fn apply(transaction: &Transaction<'_>, operation: &Operation) -> rusqlite::Result<Option<Version>> {
    if let Some(version) = stored(transaction, operation)? {
        return Ok(Some(version));
    }
    match operation {
        Operation::Put { key, bytes, .. } => {
            let sql = "INSERT OR REPLACE INTO objects (name, bytes) VALUES (?1, ?2)";
            transaction.prepare_cached(sql)?.execute((key.as_str(), &bytes[..]))?;
            Ok(Some(version(transaction.last_insert_rowid())))
        }
        Operation::Delete { key, .. } => {
            transaction.prepare_cached("DELETE FROM objects WHERE name = ?1")?.execute([key.as_str()])?;
            Ok(None)
        }
    }
}

fn version(id: i64) -> Version {
    Version::new(id.to_string())
}

fn time(milliseconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(milliseconds).unwrap_or_default()
}

fn not_applied(path: &str, doing: &str) -> impl Fn(rusqlite::Error) -> Error + Copy {
    move |error| Error::not_applied(kind(&error), format!("Failed to {doing} {path}")).with_source(error)
}

fn kind(error: &rusqlite::Error) -> ErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Busy,
        Some(ErrorCode::DiskFull | ErrorCode::OutOfMemory) => ErrorKind::Exhausted,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => ErrorKind::Denied,
        _ => ErrorKind::Io,
    }
}
