/// Whether the name is one that systems, editors and sync tools leave in folders. Such files are not
/// reported.
pub(crate) fn is_litter(name: &str) -> bool {
    const NAMES: [&str; 20] = [
        ".DS_Store",
        ".localized",
        ".fseventsd",
        ".Spotlight-V100",
        ".Trashes",
        ".TemporaryItems",
        "Icon\r",
        "Thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        ".directory",
        "@eaDir",
        ".stfolder",
        ".stignore",
        ".stversions",
        ".dropbox",
        ".dropbox.cache",
        ".dropbox.attr",
        "4913",
        "lost+found",
    ];
    const BEGINNINGS: [&str; 7] = ["._", ".nfs", ".Trash-", ".syncthing.", "~syncthing~", ".#", ".~lock."];
    let swap = name.starts_with('.') && [".swp", ".swo", ".swx"].iter().any(|end| name.ends_with(end));
    NAMES.iter().any(|it| name.eq_ignore_ascii_case(it))
        || BEGINNINGS.iter().any(|it| name.starts_with(it))
        || swap
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::keys;

    #[test]
    fn litter_is_not_a_key_of_the_store() {
        for name in [
            ".DS_Store",
            "._metadata.json",
            "thumbs.db",
            ".workflow.json.swp",
            ".#workflow.json",
            "desktop.ini",
        ] {
            assert!(is_litter(name) && !keys::is_ours(name), "{name}");
        }
        for name in ["workflow.json", ".gitignore", "a~", "0"] {
            assert!(!is_litter(name), "{name}");
        }
    }
}
