//! Installations of extensions.

use super::common::{ACCOUNT, EVENTS};
use super::schema::model;

model! {
    /// An extension that is installed.
    INSTALLED_EXTENSION = "InstalledExtension";
    "id": Text, "The extension's id, as `SRVC-0000-0000`.";
    "extension_id": Text, "Its id in the catalog, as `EXT-000-000`.";
    "name": Text, "Its name.";
    "icon": Text, "The path of its icon.";
    "owner": Object(&ACCOUNT), "The account that it belongs to.";
}

model! {
    /// An environment of an extension.
    INSTALLATION_ENVIRONMENT = "InstallationEnvironment";
    "id": Text, "The environment's id, as `ENV-0000-0000-01`.";
    "type": Text, "`development`, `test` or `production`.";
    "icon": Text, "The path of its icon.";
    "extension": Object(&INSTALLED_EXTENSION), "The extension.";
    "hostname": Text, "The first part of its host name.";
    "domain": Text, "The rest of its host name.";
    "runtime": Text, "Where it runs: `cloud` or `local`.";
    "git": Mapping, "The source that it was deployed from.";
}

model! {
    /// An installation of an extension in an account.
    INSTALLATION = "Installation" (prefix "EIN-");
    "id": Text, "The installation's id, as `EIN-0000-0000-0000`.";
    "status": Text, "`installed` or `uninstalled`.";
    "environment": Object(&INSTALLATION_ENVIRONMENT), "The extension's environment.";
    "owner": Object(&ACCOUNT), "The account that it is installed in.";
    "settings": Mapping, "Its settings. They may hold secrets.";
    "events": Object(&EVENTS), "What happened to it, and when.";
}
