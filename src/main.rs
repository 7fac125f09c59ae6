//! The program `pflow-store`; see [`cli`].

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
