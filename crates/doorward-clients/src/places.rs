//! Where each client keeps its servers, by operating system.

use std::path::{Path, PathBuf};

use crate::client::{Client, Scope};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    Linux,
    MacOs,
    Windows,
}

impl Os {
    /// The system that this program runs on.
    pub const fn here() -> Self {
        if cfg!(target_os = "macos") {
            Self::MacOs
        } else if cfg!(target_os = "windows") {
            Self::Windows
        } else {
            Self::Linux
        }
    }
}

/// What the places of files depend on.
pub struct Surroundings<'a> {
    pub os: Os,
    pub home: PathBuf,
    /// The folder of the project, for [`Scope::Project`].
    pub project: PathBuf,
    /// Reads a variable of the environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl Surroundings<'_> {
    fn folder(&self, variable: &str, otherwise: &str) -> PathBuf {
        let set = (self.env)(variable).filter(|path| !path.trim().is_empty());
        set.map_or_else(|| self.home.join(otherwise), PathBuf::from)
    }

    /// Where programs of the user keep their settings.
    fn settings(&self) -> PathBuf {
        match self.os {
            Os::Linux => self.folder("XDG_CONFIG_HOME", ".config"),
            Os::MacOs => self.home.join("Library/Application Support"),
            Os::Windows => self.folder("APPDATA", "AppData/Roaming"),
        }
    }
}

/// The places in which a client may keep its servers: the usual one first. Empty if the client has none of this scope.
pub fn places(client: Client, scope: Scope, around: &Surroundings<'_>) -> Vec<PathBuf> {
    if scope == Scope::Project {
        return client.project_file().map(|file| around.project.join(file)).into_iter().collect();
    }
    let home = |path: &str| around.home.join(path);
    let settings = |path: &str| around.settings().join(path);
    let linux = around.os == Os::Linux;
    match client {
        Client::ClaudeCode => match (around.env)("CLAUDE_CONFIG_DIR").filter(|it| !it.is_empty()) {
            Some(folder) => vec![Path::new(&folder).join(".claude.json")],
            None => vec![home(".claude.json")],
        },
        Client::ClaudeDesktop => {
            let mut all = vec![settings("Claude/claude_desktop_config.json")];
            if around.os == Os::Windows {
                all.extend(store_app(&around.folder("LOCALAPPDATA", "AppData/Local")));
            }
            all
        }
        Client::Cursor => vec![home(".cursor/mcp.json")],
        Client::VsCode => {
            let mut all = vec![settings("Code/User/mcp.json")];
            if linux {
                all.push(home(".var/app/com.visualstudio.code/config/Code/User/mcp.json"));
            }
            all
        }
        Client::Windsurf => vec![home(".codeium/windsurf/mcp_config.json")],
        Client::Codex => vec![around.folder("CODEX_HOME", ".codex").join("config.toml")],
        Client::GeminiCli => vec![home(".gemini/settings.json")],
        Client::Zed => match around.os {
            Os::Linux => vec![
                settings("zed/settings.json"),
                home(".var/app/dev.zed.Zed/config/zed/settings.json"),
            ],
            Os::MacOs => vec![home(".config/zed/settings.json")],
            Os::Windows => vec![settings("Zed/settings.json")],
        },
    }
}

/// Claude Desktop from the Microsoft Store keeps its data in a folder whose name has a suffix.
fn store_app(local: &Path) -> Vec<PathBuf> {
    let Ok(folders) = std::fs::read_dir(local.join("Claude-Data")) else { return Vec::new() };
    let mut found: Vec<_> = folders
        .take(100)
        .filter_map(Result::ok)
        .filter(|folder| folder.file_name().to_string_lossy().to_lowercase().starts_with("claude"))
        .map(|folder| folder.path().join("claude_desktop_config.json"))
        .collect();
    found.sort();
    found
}

/// Whether the client has been used here: its file is there, or the folder that it makes for it.
pub fn is_here(client: Client, around: &Surroundings<'_>) -> bool {
    places(client, Scope::User, around).iter().any(|file| {
        let own_folder = file.parent().filter(|folder| *folder != around.home);
        file.exists() || own_folder.is_some_and(Path::exists)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_its_place_on_every_system() {
        let place = |client, os, env: &dyn Fn(&str) -> Option<String>| {
            let around = Surroundings { os, home: "/h".into(), project: "/p".into(), env };
            places(client, Scope::User, &around)[0].to_string_lossy().into_owned()
        };
        let unset = |_: &str| None;
        for (client, linux, mac, windows) in [
            (Client::ClaudeCode, ".claude.json", ".claude.json", ".claude.json"),
            (
                Client::ClaudeDesktop,
                ".config/Claude/claude_desktop_config.json",
                "Library/Application Support/Claude/claude_desktop_config.json",
                "AppData/Roaming/Claude/claude_desktop_config.json",
            ),
            (Client::Cursor, ".cursor/mcp.json", ".cursor/mcp.json", ".cursor/mcp.json"),
            (
                Client::VsCode,
                ".config/Code/User/mcp.json",
                "Library/Application Support/Code/User/mcp.json",
                "AppData/Roaming/Code/User/mcp.json",
            ),
            (
                Client::Windsurf,
                ".codeium/windsurf/mcp_config.json",
                ".codeium/windsurf/mcp_config.json",
                ".codeium/windsurf/mcp_config.json",
            ),
            (Client::Codex, ".codex/config.toml", ".codex/config.toml", ".codex/config.toml"),
            (
                Client::GeminiCli,
                ".gemini/settings.json",
                ".gemini/settings.json",
                ".gemini/settings.json",
            ),
            (
                Client::Zed,
                ".config/zed/settings.json",
                ".config/zed/settings.json",
                "AppData/Roaming/Zed/settings.json",
            ),
        ] {
            for (os, expected) in [(Os::Linux, linux), (Os::MacOs, mac), (Os::Windows, windows)] {
                assert_eq!(place(client, os, &unset), format!("/h/{expected}"), "{os:?}");
            }
        }
        let set = |name: &str| Some(format!("/set/{name}"));
        for (client, expected) in [
            (Client::ClaudeCode, "/set/CLAUDE_CONFIG_DIR/.claude.json"),
            (Client::Codex, "/set/CODEX_HOME/config.toml"),
            (Client::VsCode, "/set/XDG_CONFIG_HOME/Code/User/mcp.json"),
            (Client::Cursor, "/h/.cursor/mcp.json"),
        ] {
            assert_eq!(place(client, Os::Linux, &set), expected);
        }
    }

    #[test]
    fn projects_have_files_of_their_own() {
        let around =
            Surroundings { os: Os::Linux, home: "/h".into(), project: "/p".into(), env: &|_| None };
        let project = |client| places(client, Scope::Project, &around);
        assert_eq!(project(Client::ClaudeCode), [Path::new("/p/.mcp.json")]);
        assert_eq!(project(Client::Codex), [Path::new("/p/.codex/config.toml")]);
        assert!(project(Client::Windsurf).is_empty() && project(Client::ClaudeDesktop).is_empty());
    }
}
