//! The README's commands run as they stand there.

use std::{error::Error, fs, path::Path, process::Command};

/// The text of the first `sh` block that holds `words`.
fn block<'a>(readme: &'a str, words: &str) -> Option<&'a str> {
    readme
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.contains(words))
}

#[test]
fn the_tour_of_the_program_runs_as_written() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("a package in no folder")?;
    let readme = fs::read_to_string(root.join("README.md"))?;
    let tour = block(&readme, "pflow-store init").ok_or("the README shows no tour of the program")?;
    assert!(tour.lines().count() >= 10, "{tour}");

    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(root.join("examples"), folder.path().join("examples"))?;
    let program = Path::new(env!("CARGO_BIN_EXE_pflow-store")).parent().ok_or("a program in no folder")?;
    let path = format!("{}:{}", program.display(), std::env::var("PATH")?);
    let output = Command::new("sh")
        .args(["-e", "-x", "-c", tour])
        .current_dir(folder.path())
        .env("PATH", path)
        .env_remove("PFLOW_STORE")
        .output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    let original = fs::read(root.join("examples/workflows/daily-report.pflow.md"))?;
    assert_eq!(fs::read(folder.path().join("daily-report.pflow.md"))?, original);
    assert!(out.contains("daily-report"), "{out}");
    Ok(())
}
