//! The groups of operations in the document, with what each is about. Generated clients make a class of each.
//!
//! Must not know any route: a test holds that the routes use exactly these groups.

use utoipa::openapi::Tag;
use utoipa::openapi::tag::TagBuilder;

const TAGS: [(&str, &str); 22] = [
    ("auth", "Login, sessions, passwords and the public keys of the API."),
    ("me", "User, school and permissions of the caller."),
    ("children", "Children of the school."),
    ("guardians", "Adults who are responsible for children."),
    ("child-guardians", "Links between children and their guardians: relation, custody, and who may collect the child."),
    ("classes", "Classes of each school year."),
    ("enrolments", "Which child belongs to which class, over time."),
    ("staff", "People who work at the school."),
    ("staff-assignments", "Which staff member works in which class, over time."),
    ("activities", "Activities of a child's day: meals, naps, nappies, play and observations."),
    ("allergies", "Allergies and intolerances of children."),
    ("medications", "Medications that children take at school, with the authorisation of a guardian."),
    ("medication-administrations", "Log of doses that were given, refused or missed."),
    ("vaccinations", "Doses of vaccines that were given or are due."),
    ("incidents", "Accidents, illnesses and other events of concern."),
    ("reports", "Reports that combine data of one child."),
    ("privacy", "Export and erasure of a child's data (GDPR, articles 15, 17 and 20)."),
    ("settings", "Settings that the school chooses for itself."),
    ("roles", "Roles, their permissions, and the additional roles of users."),
    ("users", "Accounts of the school."),
    ("audit", "Audit of the school: accesses and refusals."),
    ("platform", "Tenants, metrics, audit and impersonation, for platform staff."),
];

/// All groups, in the order in which the document shows them.
#[must_use]
pub fn all() -> Vec<Tag> {
    let tag = |(name, description): (&str, &str)| TagBuilder::new().name(name).description(Some(description)).build();
    TAGS.into_iter().map(tag).collect()
}
