//! The error codes of the API, each with its HTTP status and its message in both languages.
//!
//! Must not know any route or request: clients depend on the meaning of a code, so it never changes.

use axum::http::StatusCode;

/// Languages of the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// `pt`, unless something else is asked for.
    #[default]
    Portuguese,
    /// `en`.
    English,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $status:ident, $pt:literal, $en:literal;)+) => {
        /// Why a request failed. New codes may be added; the meaning of a code never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code in the answer, for programs.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            /// The message for people.
            #[must_use]
            pub fn text(self, language: Language) -> &'static str {
                match (self, language) { $((Self::$name, Language::Portuguese) => $pt, (Self::$name, Language::English) => $en),+ }
            }
        }
    };
}

impl Code {
    /// Whether the request was refused because of the caller or the school, not because of its content.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(self.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) || self == Self::InvalidTenant
    }
}

codes! {
    /// The same for missing, malformed and unknown tenants, so that nobody learns which tenants exist.
    InvalidTenant = "INVALID_TENANT", BAD_REQUEST, "Tenant inválido ou não encontrado", "Invalid or unknown tenant";
    /// The header names another tenant than the token.
    TenantMismatch = "TENANT_MISMATCH", FORBIDDEN, "O tenant indicado não é o do utilizador", "The tenant named is not the user's";
    /// The school is suspended.
    TenantSuspended = "TENANT_SUSPENDED", FORBIDDEN, "A escola está suspensa", "The school is suspended";
    /// The school's database is being created or moved.
    TenantUnavailable = "TENANT_UNAVAILABLE", SERVICE_UNAVAILABLE, "A escola está temporariamente indisponível; tente de novo dentro de momentos", "The school is temporarily unavailable; try again in a moment";
    /// The school's schema is older than this version of the API supports.
    SchemaOutdated = "SCHEMA_OUTDATED", SERVICE_UNAVAILABLE, "A base de dados da escola está a ser atualizada", "The school's database is being updated";
    /// No token, or one that is not accepted.
    Unauthenticated = "UNAUTHENTICATED", UNAUTHORIZED, "Autenticação necessária", "Authentication required";
    /// Wrong e-mail address or password. The answer does not tell which.
    InvalidCredentials = "INVALID_CREDENTIALS", UNAUTHORIZED, "E-mail ou palavra-passe incorretos", "Wrong e-mail address or password";
    /// The temporary password must be changed first.
    PasswordChangeRequired = "PASSWORD_CHANGE_REQUIRED", FORBIDDEN, "Altere primeiro a palavra-passe temporária", "Change the temporary password first";
    /// The user's roles do not allow it.
    Forbidden = "FORBIDDEN", FORBIDDEN, "Sem permissão para esta operação", "You do not have permission for this operation";
    /// The record does not exist, or this user may not see it.
    NotFound = "NOT_FOUND", NOT_FOUND, "Não encontrado", "Not found";
    /// The path exists, but does not support the method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, "Método não permitido", "Method not allowed";
    /// The request cannot be read: not JSON, nested too deep, a bad header or cursor.
    Malformed = "MALFORMED_REQUEST", BAD_REQUEST, "O pedido não pode ser lido", "The request cannot be read";
    /// The request can be read, but some of its fields are invalid.
    Validation = "VALIDATION_FAILED", UNPROCESSABLE_ENTITY, "Há campos inválidos", "Some fields are invalid";
    /// The body is too large.
    TooLarge = "PAYLOAD_TOO_LARGE", PAYLOAD_TOO_LARGE, "O pedido é demasiado grande", "The request is too large";
    /// The path and query are too long.
    UriTooLong = "URI_TOO_LONG", URI_TOO_LONG, "O endereço pedido é demasiado longo", "The requested address is too long";
    /// Too many or too large headers.
    HeadersTooLarge = "HEADERS_TOO_LARGE", REQUEST_HEADER_FIELDS_TOO_LARGE, "Os cabeçalhos são demasiado grandes", "The headers are too large";
    /// The request did not arrive in time.
    RequestTimeout = "REQUEST_TIMEOUT", REQUEST_TIMEOUT, "O pedido demorou demasiado a chegar", "The request took too long to arrive";
    /// The header `Content-Type` does not say JSON.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE, "O corpo do pedido tem de ser application/json", "The body must be application/json";
    /// The body is compressed, so its size cannot be limited before it is decompressed.
    UnsupportedEncoding = "UNSUPPORTED_ENCODING", UNSUPPORTED_MEDIA_TYPE, "O corpo do pedido não pode estar comprimido", "The body must not be compressed";
    /// The request conflicts with existing data.
    Conflict = "CONFLICT", CONFLICT, "O pedido está em conflito com dados existentes", "The request conflicts with existing data";
    /// The record was changed after the client read it.
    PreconditionFailed = "PRECONDITION_FAILED", PRECONDITION_FAILED, "O registo foi alterado entretanto; leia-o de novo", "The record was changed in the meantime; read it again";
    /// A change needs `If-Match`, so that nobody overwrites a change that they have not read.
    PreconditionRequired = "PRECONDITION_REQUIRED", PRECONDITION_REQUIRED, "Envie If-Match com o ETag que leu", "Send If-Match with the ETag that you read";
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", UNPROCESSABLE_ENTITY, "A chave de idempotência já foi usada noutro pedido", "The idempotency key was used for another request";
    /// Too many requests, or too many failed logins.
    TooManyRequests = "TOO_MANY_REQUESTS", TOO_MANY_REQUESTS, "Demasiados pedidos; aguarde um momento", "Too many requests; wait a moment";
    /// No database connection was free in time.
    PoolExhausted = "POOL_EXHAUSTED", SERVICE_UNAVAILABLE, "Servidor ocupado; tente de novo dentro de momentos", "The server is busy; try again in a moment";
    /// The school's database does not answer.
    DatabaseUnavailable = "DATABASE_UNAVAILABLE", SERVICE_UNAVAILABLE, "A base de dados da escola não responde", "The school's database does not answer";
    /// The registry of schools and users does not answer.
    RegistryUnavailable = "REGISTRY_UNAVAILABLE", SERVICE_UNAVAILABLE, "O registo de escolas não responde", "The registry of schools does not answer";
    /// The keys that verify tokens cannot be fetched.
    IssuerUnavailable = "ISSUER_UNAVAILABLE", SERVICE_UNAVAILABLE, "O serviço de autenticação não responde", "The authentication service does not answer";
    /// A statement took longer than the school's command timeout.
    Timeout = "TIMEOUT", GATEWAY_TIMEOUT, "A operação demorou demasiado", "The operation took too long";
    /// The process is shutting down.
    Stopping = "STOPPING", SERVICE_UNAVAILABLE, "O servidor está a reiniciar", "The server is restarting";
    /// A bug in this program.
    Internal = "INTERNAL_ERROR", INTERNAL_SERVER_ERROR, "Erro interno", "Internal error";
}
