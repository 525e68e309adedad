-- Platform staff read the platform's audit through the API. It still may only add rows.

GRANT SELECT ON registry.access_audit TO dailycare_api;
