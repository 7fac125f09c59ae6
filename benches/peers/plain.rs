use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use async_trait::async_trait;

use super::{Client, Open, files};
use crate::work::{Save, is_named_by};

/// The usual code around an atomic rename: each file is written beside its name, synced, and renamed over it,
/// and the folder is synced.
#[derive(Clone)]
pub(super) struct Plain {
    folder: Arc<PathBuf>,
}

impl Plain {
    pub(super) fn open(folder: &Path) -> Self {
        for name in files::FOLDERS {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        File::open(folder).and_then(|folder| folder.sync_all()).unwrap();
        Self { folder: Arc::new(folder.to_owned()) }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(key);
        let beside = self.folder.join(format!("{key}.tmp"));
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    fn save(&self, save: &Save) -> io::Result<()> {
        let parts = save.parts();
        self.put(&files::version(save), &parts.version)?;
        self.put(&files::head(&save.id), &parts.head)?;
        self.put(&files::content(&save.id), &save.content)?;
        self.put(&files::record(&save.id), &parts.record)
    }
}

impl Open for Plain {
    fn client(&self) -> Box<dyn Client> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Client for Plain {
    async fn save(&mut self, save: Save) {
        Self::save(self, &save).unwrap();
    }

    /// Saves in parallel, because the file system then commits the work of several threads together.
    async fn save_batch(&mut self, saves: Vec<Save>) {
        thread::scope(|scope| {
            for save in &saves {
                scope.spawn(|| Self::save(self, save).unwrap());
            }
        });
    }

    async fn load(&mut self, id: &str) {
        let [head, content] =
            [files::head(id), files::content(id)].map(|key| fs::read(self.folder.join(key)));
        assert!(is_named_by(&content.unwrap(), &head.unwrap()));
    }

    async fn list(&mut self) -> usize {
        let entries = fs::read_dir(self.folder.join(files::INDEX)).unwrap();
        let records = entries.map(|entry| fs::read(entry.unwrap().path()).unwrap());
        records.collect::<Vec<_>>().len()
    }
}
