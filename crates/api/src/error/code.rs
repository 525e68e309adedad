//! The codes that callers' programs decide by, each with its status and its text in both languages.

use axum::http::StatusCode;

/// Languages of the answers.
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
        /// Why a request failed. New ones may be added; what one means stays.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word in the envelope.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            /// The text for people.
            #[must_use]
            pub fn text(self, language: Language) -> &'static str {
                match (self, language) { $((Self::$name, Language::Portuguese) => $pt, (Self::$name, Language::English) => $en),+ }
            }
        }
    };
}

impl Code {
    /// Whether it refuses somebody, rather than what was asked: for who asked, or for which school.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(self.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) || self == Self::InvalidTenant
    }
}

codes! {
    /// Missing, malformed and unknown tenants alike, so that nobody learns which exist.
    InvalidTenant = "INVALID_TENANT", BAD_REQUEST, "Tenant inválido ou não encontrado", "Invalid or unknown tenant";
    /// The header names another tenant than the token.
    TenantMismatch = "TENANT_MISMATCH", FORBIDDEN, "O tenant indicado não é o do utilizador", "The tenant named is not the user's";
    /// The school is suspended.
    TenantSuspended = "TENANT_SUSPENDED", FORBIDDEN, "A escola está suspensa", "The school is suspended";
    /// The school's database is being made or moved.
    TenantUnavailable = "TENANT_UNAVAILABLE", SERVICE_UNAVAILABLE, "A escola está temporariamente indisponível; tente de novo dentro de momentos", "The school is unavailable for the moment; try again shortly";
    /// The school's schema is older than this program can work with.
    SchemaOutdated = "SCHEMA_OUTDATED", SERVICE_UNAVAILABLE, "A base de dados da escola está a ser atualizada", "The school's database is being updated";
    /// No token, or one that is not accepted.
    Unauthenticated = "UNAUTHENTICATED", UNAUTHORIZED, "Autenticação necessária", "Authentication required";
    /// Wrong e-mail address or password; which one is not said.
    InvalidCredentials = "INVALID_CREDENTIALS", UNAUTHORIZED, "E-mail ou palavra-passe incorretos", "Wrong e-mail address or password";
    /// The temporary password must be replaced first.
    PasswordChangeRequired = "PASSWORD_CHANGE_REQUIRED", FORBIDDEN, "Altere primeiro a palavra-passe temporária", "Change the temporary password first";
    /// The user's roles do not allow it.
    Forbidden = "FORBIDDEN", FORBIDDEN, "Sem permissão para esta operação", "You may not do this";
    /// Nothing there, or nothing that this user may see.
    NotFound = "NOT_FOUND", NOT_FOUND, "Não encontrado", "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, "Método não permitido", "Method not allowed";
    /// The request cannot be read: not JSON, nested too deep, a bad header or cursor.
    Malformed = "MALFORMED_REQUEST", BAD_REQUEST, "O pedido não pode ser lido", "The request cannot be read";
    /// The request can be read, and fields of it are wrong.
    Validation = "VALIDATION_FAILED", UNPROCESSABLE_ENTITY, "Há campos inválidos", "Some fields are invalid";
    /// The body is too large.
    TooLarge = "PAYLOAD_TOO_LARGE", PAYLOAD_TOO_LARGE, "O pedido é demasiado grande", "The request is too large";
    /// The path and query are too long.
    UriTooLong = "URI_TOO_LONG", URI_TOO_LONG, "O endereço pedido é demasiado longo", "The address asked for is too long";
    /// Too many or too large headers.
    HeadersTooLarge = "HEADERS_TOO_LARGE", REQUEST_HEADER_FIELDS_TOO_LARGE, "Cabeçalhos demasiado grandes", "The headers are too large";
    /// The request did not arrive in time.
    RequestTimeout = "REQUEST_TIMEOUT", REQUEST_TIMEOUT, "O pedido demorou demasiado a chegar", "The request took too long to arrive";
    /// The body is not JSON by its own word.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE, "Envie application/json", "Send application/json";
    /// The body is compressed: what it would grow to cannot be bounded.
    UnsupportedEncoding = "UNSUPPORTED_ENCODING", UNSUPPORTED_MEDIA_TYPE, "Envie o pedido sem compressão", "Send the request uncompressed";
    /// It contradicts what is there already.
    Conflict = "CONFLICT", CONFLICT, "Já existe um registo que o impede", "Something that exists already prevents it";
    /// Somebody else changed the row since it was read.
    PreconditionFailed = "PRECONDITION_FAILED", PRECONDITION_FAILED, "O registo foi alterado entretanto; leia-o de novo", "The record has changed meanwhile; read it again";
    /// A change needs `If-Match`, so that nobody's work is overwritten unseen.
    PreconditionRequired = "PRECONDITION_REQUIRED", PRECONDITION_REQUIRED, "Envie If-Match com o ETag que leu", "Send If-Match with the ETag you read";
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", UNPROCESSABLE_ENTITY, "A chave de idempotência já foi usada noutro pedido", "The idempotency key was used for another request";
    /// Too many requests, or too many failed logins.
    TooManyRequests = "TOO_MANY_REQUESTS", TOO_MANY_REQUESTS, "Demasiados pedidos; aguarde um momento", "Too many requests; wait a moment";
    /// No connection was free in time.
    PoolExhausted = "POOL_EXHAUSTED", SERVICE_UNAVAILABLE, "Servidor ocupado; tente de novo dentro de momentos", "The server is busy; try again shortly";
    /// The school's database does not answer.
    DatabaseUnavailable = "DATABASE_UNAVAILABLE", SERVICE_UNAVAILABLE, "A base de dados da escola não responde", "The school's database does not answer";
    /// The registry of schools and users does not answer.
    RegistryUnavailable = "REGISTRY_UNAVAILABLE", SERVICE_UNAVAILABLE, "O registo de escolas não responde", "The registry of schools does not answer";
    /// The keys that verify tokens cannot be fetched.
    IssuerUnavailable = "ISSUER_UNAVAILABLE", SERVICE_UNAVAILABLE, "O serviço de autenticação não responde", "The authentication service does not answer";
    /// The statement took longer than the school's command timeout.
    Timeout = "TIMEOUT", GATEWAY_TIMEOUT, "A operação demorou demasiado", "The operation took too long";
    /// The process is about to end.
    Stopping = "STOPPING", SERVICE_UNAVAILABLE, "O servidor está a reiniciar", "The server is restarting";
    /// A fault of this program.
    Internal = "INTERNAL_ERROR", INTERNAL_SERVER_ERROR, "Erro interno", "Internal error";
}
