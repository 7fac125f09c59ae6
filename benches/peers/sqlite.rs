use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Client, Open};
use crate::work::{Save, is_named_by};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS versions (id TEXT, generation INTEGER, version BLOB, PRIMARY KEY (id, generation));
    CREATE TABLE IF NOT EXISTS contents (id TEXT PRIMARY KEY, content BLOB);
    CREATE TABLE IF NOT EXISTS heads (id TEXT PRIMARY KEY, head BLOB);
    CREATE TABLE IF NOT EXISTS entries (id TEXT PRIMARY KEY, record BLOB);
";
const STATEMENTS: [&str; 4] = [
    "INSERT INTO versions VALUES (?1, ?2, ?3)",
    "INSERT OR REPLACE INTO contents VALUES (?1, ?2)",
    "INSERT OR REPLACE INTO heads VALUES (?1, ?2)",
    "INSERT OR REPLACE INTO entries VALUES (?1, ?2)",
];

/// One connection, which the clients take in turn, so the database is never locked for them.
pub(super) struct Shared(Arc<Mutex<Connection>>);

/// A connection for each client, which waits while another one writes.
pub(super) struct Each {
    file: PathBuf,
    /// Keeps the log while clients come and go.
    _first: Mutex<Connection>,
}

impl Shared {
    pub(super) fn open(folder: &Path) -> Self {
        Self(Arc::new(Mutex::new(connect(&file(folder)).unwrap())))
    }
}

impl Each {
    pub(super) fn open(folder: &Path) -> Self {
        let file = file(folder);
        let first = Mutex::new(connect(&file).unwrap());
        Self { file, _first: first }
    }
}

impl Open for Shared {
    fn client(&self) -> Box<dyn Client> {
        Box::new(SqliteClient(Arc::clone(&self.0)))
    }
}

impl Open for Each {
    fn client(&self) -> Box<dyn Client> {
        Box::new(SqliteClient(Arc::new(Mutex::new(connect(&self.file).unwrap()))))
    }
}

struct SqliteClient(Arc<Mutex<Connection>>);

#[async_trait]
impl Client for SqliteClient {
    async fn save(&mut self, save: Save) {
        transact(&self.0, &[save]).unwrap();
    }

    async fn save_batch(&mut self, saves: Vec<Save>) {
        transact(&self.0, &saves).unwrap();
    }

    async fn load(&mut self, id: &str) {
        let (content, head) = load(&self.0.lock().unwrap(), id).unwrap();
        assert!(is_named_by(&content, &head));
    }

    async fn list(&mut self) -> usize {
        list(&self.0.lock().unwrap()).unwrap().len()
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("store.sqlite")
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}

/// Writes all of these saves in one transaction.
fn transact(connection: &Mutex<Connection>, saves: &[Save]) -> rusqlite::Result<()> {
    // Work that needs no lock is done before the lock is taken.
    let parts: Vec<_> = saves.iter().map(Save::parts).collect();
    let mut connection = connection.lock().unwrap();
    let transaction = Transaction::new(&mut connection, TransactionBehavior::Immediate)?;
    for (save, parts) in saves.iter().zip(parts) {
        let [version, content, head, record] = STATEMENTS.map(|sql| transaction.prepare_cached(sql));
        version?.execute(params![save.id, save.generation.cast_signed(), parts.version])?;
        content?.execute(params![save.id, save.content])?;
        head?.execute(params![save.id, parts.head])?;
        record?.execute(params![save.id, parts.record])?;
    }
    transaction.commit()
}

fn load(connection: &Connection, id: &str) -> rusqlite::Result<(Vec<u8>, Vec<u8>)> {
    let mut query = connection
        .prepare_cached("SELECT content, head FROM contents JOIN heads USING (id) WHERE id = ?1")?;
    query.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn list(connection: &Connection) -> rusqlite::Result<Vec<Vec<u8>>> {
    let mut query = connection.prepare_cached("SELECT record FROM entries ORDER BY id")?;
    query.query_map([], |row| row.get(0))?.collect()
}
