//! `doorward`: the command line, configuration, wiring, start-up and shutdown of the gateway.

mod administer;
mod bridge;
mod cli;
mod client;
mod commands;
mod inherited;
mod logging;
mod serve;
mod terminal;

use doorward_files as config;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::commands::{Exit, Failed};
use crate::inherited::Inherited;

/// Measured against the system's allocator: a fifth less time per call.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let inherited = Inherited::list();
    let cli = Cli::read();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("error: another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    match run(cli, inherited) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            if !failed.message.is_empty() {
                terminal::complain(&failed.message);
            }
            ExitCode::from(failed.exit as u8)
        }
    }
}

fn run(cli: Cli, inherited: Result<Inherited, Failed>) -> Result<(), Failed> {
    match cli.command {
        Command::Serve(options) => serve::run(options, inherited?),
        Command::Check(options) => commands::check::run(&options),
        Command::Import(options) => commands::import::run(&options),
        Command::Schema => commands::schema::run(),
        Command::Connect(options) => wait_for(bridge::run(options)),
        Command::Openapi { command } => commands::openapi::run(command),
        Command::Servers(options) => wait_for(commands::servers::run(options)),
        Command::Tools(options) => wait_for(commands::tools::run(options)),
        Command::Call(options) => wait_for(commands::call::run(options)),
        Command::Scan(options) => wait_for(commands::scan::run(options)),
        Command::Portals(options) => wait_for(commands::portals::run(options)),
        Command::Keys(options) => wait_for(commands::keys::run(options)),
        Command::Principals(options) => wait_for(commands::principals::run(options)),
        Command::Credentials(options) => wait_for(commands::credentials::run(options)),
        Command::Audit(options) => wait_for(commands::audit::run(options)),
        Command::Evidence(options) => wait_for(commands::evidence::run(options)),
        Command::Top(options) => wait_for(commands::top::run(options)),
        Command::Credits(options) => wait_for(commands::credits::run(options)),
        Command::Limits(options) => wait_for(commands::limits::run(options)),
        Command::Prices(options) => wait_for(commands::limits::run_prices(options)),
        Command::Usage(options) => wait_for(commands::usage::run(options)),
        Command::Policy(options) => wait_for(commands::policy::run(options)),
        Command::Grants(options) => wait_for(commands::grants::run(options)),
        Command::Registries(options) => wait_for(commands::registries::run(options)),
        Command::Webhooks(options) => wait_for(commands::webhooks::run(options)),
        Command::Requests(options) => wait_for(commands::requests::run(options)),
        Command::Approvals(options) => wait_for(commands::approvals::run(options)),
        Command::Flow(options) => wait_for(commands::flow::run(options)),
        Command::Stop(options) => wait_for(commands::stop::run(options)),
        Command::Clients(options) => wait_for(commands::clients::run(options)),
        Command::Catalog(options) => wait_for(commands::catalog::run(options)),
        Command::Apply(options) => wait_for(commands::apply::run(options)),
        Command::Export(options) => wait_for(commands::export::run(options)),
        #[cfg(target_os = "linux")]
        Command::Confine(options) => {
            inherited?.close();
            doorward_confine::run(&options).map_err(|why| Failed::new(Exit::Config, why))
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut cli::command(), "doorward", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// Runs a command that waits for the network, on one thread.
fn wait_for(command: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(command);
    // Does not wait for a thread that is reading a key press.
    runtime.shutdown_background();
    done
}
