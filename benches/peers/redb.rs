use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Client, Open};
use crate::work::{Save, is_named_by};

const VERSIONS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("versions");
const CONTENTS: TableDefinition<&str, &[u8]> = TableDefinition::new("contents");
const HEADS: TableDefinition<&str, &[u8]> = TableDefinition::new("heads");
const ENTRIES: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");

/// redb: a copy-on-write tree in one file. Writers take turns.
#[derive(Clone)]
pub(super) struct Redb(Arc<Database>);

impl Redb {
    pub(super) fn open(folder: &Path) -> Self {
        Self(Arc::new(Database::create(folder.join("store.redb")).unwrap()))
    }

    /// Writes all of these saves in one transaction.
    fn transact(&self, saves: &[Save]) -> Result<(), redb::Error> {
        let parts: Vec<_> = saves.iter().map(Save::parts).collect();
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut versions = transaction.open_table(VERSIONS)?;
            let mut contents = transaction.open_table(CONTENTS)?;
            let mut heads = transaction.open_table(HEADS)?;
            let mut entries = transaction.open_table(ENTRIES)?;
            for (save, parts) in saves.iter().zip(&parts) {
                let id = save.id.as_str();
                versions.insert((id, save.generation), parts.version.as_slice())?;
                contents.insert(id, save.content.as_slice())?;
                heads.insert(id, parts.head.as_slice())?;
                entries.insert(id, parts.record.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn load(&self, id: &str) -> Result<bool, redb::Error> {
        let transaction = self.0.begin_read()?;
        let (content, head) =
            (transaction.open_table(CONTENTS)?.get(id)?, transaction.open_table(HEADS)?.get(id)?);
        Ok(content.zip(head).is_some_and(|(content, head)| is_named_by(content.value(), head.value())))
    }

    fn list(&self) -> Result<Vec<Vec<u8>>, redb::Error> {
        let entries = self.0.begin_read()?.open_table(ENTRIES)?;
        entries.iter()?.map(|entry| Ok(entry?.1.value().to_owned())).collect()
    }
}

impl Open for Redb {
    fn client(&self) -> Box<dyn Client> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Client for Redb {
    async fn save(&mut self, save: Save) {
        self.transact(&[save]).unwrap();
    }

    async fn save_batch(&mut self, saves: Vec<Save>) {
        self.transact(&saves).unwrap();
    }

    async fn load(&mut self, id: &str) {
        assert!(Self::load(self, id).unwrap());
    }

    async fn list(&mut self) -> usize {
        Self::list(self).unwrap().len()
    }
}
