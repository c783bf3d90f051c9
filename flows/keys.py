"""What a key custodian does with the keyring. Controller zone."""

from collections.abc import Callable

from flows import audit
from flows.passphrase import passphrase
from flows.settings import Layout
from transforms.controller import keys


def create(layout: Layout) -> list[str]:
    """Make a keyring; KeyUnavailable where there is one already or no passphrase is given."""
    keyring = keys.new_keyring()
    keys.save(keyring, layout.keyring, passphrase(layout, new=True))
    audit.record(layout.audit, "keys create", epoch=keyring.current)
    return [
        f"Created a keyring with epoch {keyring.current}. Keep its passphrase apart from it; nothing opens it without."
    ]


def list_epochs(layout: Layout) -> list[str]:
    """Name the epochs; never a key."""
    keyring = keys.load(layout.keyring, passphrase(layout))
    return [f"{epoch}{'  (in use)' if epoch == keyring.current else ''}" for epoch in sorted(keyring.roots)]


def verify(layout: Layout) -> list[str]:
    """Open the keyring and say that it opened."""
    keyring = keys.load(layout.keyring, passphrase(layout))
    audit.record(layout.audit, "keys verify", epochs=len(keyring.roots))
    return [f"The keyring opens: {len(keyring.roots)} epochs, {keyring.current} in use"]


KEY_ACTIONS: dict[str, Callable[[Layout], list[str]]] = {"create": create, "list": list_epochs, "verify": verify}
