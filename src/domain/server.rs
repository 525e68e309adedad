//! One DatabaseServer: what is seen of it and its next step.
