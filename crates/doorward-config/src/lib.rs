//! The configuration: every key, its default and its limits.
//!
//! The binary reads files into these types; the gateway only receives validated values.

mod a2a;
mod approval;
mod audit;
mod authorization;
mod billing;
mod cache;
mod checks;
mod choice;
mod compact;
mod confine;
mod console;
mod conversations;
mod credential;
mod defaults;
mod email;
mod explain;
mod export;
mod external_checks;
mod flow;
mod headers;
mod identity;
mod inspection;
pub mod labels;
mod lifecycle;
mod limits;
mod names;
mod openapi;
mod package;
mod pins;
mod policy;
mod portal;
pub mod proposal;
mod quantity;
mod rates;
pub mod redirect_uri;
mod registries;
mod reliability;
mod replicas;
mod rest;
mod restart;
mod secret;
mod server;
mod settings;
mod sharing;
mod stops;
mod telemetry;
mod tenants;
mod tls;
mod tool;
mod webhooks;

pub use a2a::A2aSettings;
pub use approval::ApprovalSettings;
pub use audit::{
    AuditSettings, CheckpointSettings, Durability, PayloadSettings, RecordClass, RetentionSettings,
    TenantRetention,
};
pub use authorization::{
    AuthorizationServerSettings, ClientSettings, LoginProvider, ProviderClaims,
};
pub use billing::{AlertSettings, BillingSettings, PriceSettings, UnitPrice, Unknown};
pub use cache::{CacheRule, CacheSettings};
pub use checks::{ArgumentSettings, Check, ResultSettings, UnusableSchema};
pub use choice::EVENT_KINDS;
pub use compact::{
    CompactSettings, Dropped, ParameterRule, ParameterRules, ResultCuts, parameter_rules,
};
pub use confine::{Confinement, Namespaces, VerifiedFolder};
pub use console::{ConsoleSettings, GATEWAY_LOGIN, LoginSettings, UserPortalSettings};
pub use conversations::{ConversationSettings, CountBy};
pub use credential::{
    Assertion, Basic, ClientCredentials, CredentialSettings, Delegation, Exchange, Personal,
    ServerTls, TokenClient, signing_key,
};
pub use email::{EmailSettings, EmailTls, MAIL_PATIENCE};
pub use explain::explain;
pub use export::{
    ExportFormat, ExportSettings, FileExport, HttpExport, HttpExportType, OtlpExport, SyslogExport,
};
pub use external_checks::{
    CheckForm, CheckWhen, ExternalCheck, ExternalChecks, ModerationAction, ModerationSettings,
    OnFailure, PresidioAction, PresidioSettings, SendPart, SendSettings,
};
pub use flow::{
    AfterStart, FlowDefaults, FlowLabels, FlowSettings, Separation, Sinks, UNTRUSTED, Untrusted,
};
pub use identity::{
    Algorithm, Claims, Directory, Group, IdentitySettings, Introspection, IssuerSettings, Member,
    TrustedFor, is_trustworthy,
};
pub use inspection::{
    DataAction, DataInspection, DefinitionInspection, InspectionException, InspectionSettings,
    InvisibleAction, MessageInspection, OverBudget, SuspiciousAction,
};
pub use lifecycle::{Lifecycle, ReviewSettings};
pub use limits::{Limits, Timeouts};
pub use names::{NameSettings, ServerNames, is_legal_name};
pub use openapi::{OpenApiSettings, PageSettings};
pub use package::{Launch, PackageSettings, PackagesSettings, Program, UserValue};
pub use pins::{AllPinSettings, OnNew, PinMode, PinSettings};
pub use policy::{Explain, PolicySettings};
pub use portal::{Discovery, PortalSettings};
pub use quantity::{ByteSize, Period};
pub use rates::{Dimension, Measures, Only, Rate, RateSettings, RuleSettings, StoreAway};
pub use registries::{OnDeleted, OwnRegistrySettings, Registries, RegistrySettings};
pub use reliability::{
    BreakerSettings, BulkheadSettings, EjectionSettings, HealthSettings, ReliabilitySettings,
    RetrySettings,
};
pub use replicas::{LostSession, ReplicaGroup, ReplicaSettings, problem_of};
pub use rest::RestSettings;
pub use secret::{Secret, redacted};
pub use server::ServerSettings;
pub use settings::{Problem, Settings};
pub use sharing::{Affinity, ClientCapabilities, Start};
pub use stops::StopSettings;
pub use telemetry::{
    LogSettings, MetricSettings, Otlp, OtlpProtocol, TelemetrySettings, TraceSettings,
};
pub use tenants::{TenantSettings, Tenants};
pub use tls::TlsFiles;
pub use tool::ToolSettings;
pub use webhooks::{EventSettings, WebhookFormat, WebhookSettings, Webhooks};
