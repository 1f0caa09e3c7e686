//! Inviting a user of the console.

use store::{Actor, NewInvitation, Right, Secret, Store, UserName};

use crate::views::InvitedView;

/// Stores an invitation in the place of earlier ones for that user. The link that it returns is nowhere else. `base`: where the
/// console is.
pub async fn invite<S: Store>(
    store: &S,
    base: &str,
    user: &UserName,
    right: Right,
    by: Actor,
) -> store::Result<InvitedView> {
    let secret = Secret::new()?;
    let expires = store.invite(NewInvitation { token: secret.hash(), user: user.clone(), right }, by).await?;
    let url = format!("{base}/invite/{}", secret.text());
    Ok(InvitedView { user: user.as_str().to_owned(), right, url, expires })
}
