use std::path::Path;

use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Client, Open};
use crate::work::{Save, is_named_by};

/// fjall: a log-structured tree behind one journal.
#[derive(Clone)]
pub(super) struct Fjall {
    database: Database,
    versions: Keyspace,
    contents: Keyspace,
    heads: Keyspace,
    entries: Keyspace,
}

impl Fjall {
    pub(super) fn open(folder: &Path) -> Self {
        let database = Database::builder(folder.join("store.fjall")).open().unwrap();
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).unwrap();
        Self {
            versions: keyspace("versions"),
            contents: keyspace("contents"),
            heads: keyspace("heads"),
            entries: keyspace("entries"),
            database,
        }
    }

    /// Writes all of these saves in one batch, synced with the commit.
    fn write(&self, saves: Vec<Save>) -> fjall::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for save in saves {
            let (parts, id) = (save.parts(), save.id.as_str());
            let version = format!("{id}-{:012}", save.generation);
            batch.insert(&self.versions, version, parts.version);
            batch.insert(&self.contents, id, save.content);
            batch.insert(&self.heads, id, parts.head);
            batch.insert(&self.entries, id, parts.record);
        }
        batch.commit()
    }
}

impl Open for Fjall {
    fn client(&self) -> Box<dyn Client> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Client for Fjall {
    async fn save(&mut self, save: Save) {
        self.write(vec![save]).unwrap();
    }

    async fn save_batch(&mut self, saves: Vec<Save>) {
        self.write(saves).unwrap();
    }

    async fn load(&mut self, id: &str) {
        let [content, head] =
            [&self.contents, &self.heads].map(|keyspace| keyspace.get(id).unwrap().unwrap());
        assert!(is_named_by(&content, &head));
    }

    async fn list(&mut self) -> usize {
        let records = self.entries.iter().map(|entry| entry.value().unwrap());
        records.collect::<Vec<_>>().len()
    }
}
