"""How one notice is brought to one channel: a mail over a closed way, or a POST that follows nobody elsewhere.

What a server answers is not repeated anywhere: a failure is one of a few words.
"""

import http.client
import json
import os
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from flows.letters import Letter
from schemas.channels import Channel, Mail, SecretPlace, Webhook

STEP_SECONDS = 5.0
"""How long one step of a connection may take."""


class Unsent(Exception):
    """A channel did not take a notice. `why` is one of a few words; `is_final` where trying again would not help."""

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        """Keep both for the audit log."""
        super().__init__(why)
        self.why, self.is_final = why, is_final


def send(channel: Channel, letter: Letter) -> int:
    """Bring a letter to a channel; returns how many of its recipients the server refused. Raises Unsent."""
    try:
        if isinstance(channel.target, Mail):
            return _mail(channel, channel.target, letter)
        return _post(channel.target, letter)
    except Unsent as unsent:
        why, is_final = unsent.why, unsent.is_final
    except smtplib.SMTPNotSupportedError:
        why, is_final = "the server offers no TLS or no login", False
    except smtplib.SMTPAuthenticationError:
        why, is_final = "the server refused the login", False
    except smtplib.SMTPRecipientsRefused as refused:
        codes = [code for code, _ in refused.recipients.values()]
        why, is_final = "the server refused every recipient", all(code >= 500 for code in codes)
    except smtplib.SMTPResponseException as answer:
        why, is_final = "the server refused the message", answer.smtp_code >= 500
    except ssl.SSLError:
        why, is_final = "the server's certificate or TLS was not accepted", False
    except (OSError, http.client.HTTPException, smtplib.SMTPException):
        why, is_final = "the server did not answer", False
    except (ValueError, UnicodeError):
        why, is_final = "the message could not be written", True
    raise Unsent(why, is_final=is_final)  # outside the handlers, so that no server's words hang on it


def _mail(channel: Channel, target: Mail, letter: Letter) -> int:
    message = EmailMessage()
    message["Subject"] = letter.subject
    message["From"], message["To"] = target.sender, ", ".join(target.recipients)
    message["Date"] = format_datetime(letter.time)
    # The same each time it is tried: a mail system that has it already drops it.
    message["Message-ID"] = f"<{letter.id}.{channel.name}@{target.sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.body)
    context = _context(target.ca_file)
    server: smtplib.SMTP
    if target.security == "tls":
        server = smtplib.SMTP_SSL(target.host, target.port, timeout=STEP_SECONDS, context=context)
    else:
        server = smtplib.SMTP(target.host, target.port, timeout=STEP_SECONDS)
    with server:
        if target.security == "starttls":
            server.starttls(context=context)
        if target.username is not None and target.password is not None:
            server.login(target.username, _secret(target.password))
        return len(server.send_message(message, target.sender, target.recipients))


def _post(target: Webhook, letter: Letter) -> int:
    parts = urlsplit(target.url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = _context(target.ca_file)
        connection = http.client.HTTPSConnection(host, parts.port, timeout=STEP_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=STEP_SECONDS)
    headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": letter.id, "User-Agent": "caregap"}
    if target.token is not None:
        headers["Authorization"] = f"Bearer {_secret(target.token)}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, json.dumps(_content(letter), ensure_ascii=False).encode(), headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    if 200 <= status < 300:
        return 0
    if 300 <= status < 400:
        raise Unsent("the server sends elsewhere, which is not followed")
    raise Unsent("the server refused the message")


def _content(letter: Letter) -> Mapping[str, Any]:
    return {**letter.facts, "text": dict(letter.texts)}


def _context(ca_file: os.PathLike[str] | None) -> ssl.SSLContext:
    """Certificates and names are checked: by the system's authorities, or by the one that the policy names."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _secret(place: SecretPlace) -> str:
    """The secret itself. Raises Unsent where it is not there, or others can read its file."""
    text = os.environ.get(place.variable or "", "")
    if place.file is not None:
        try:
            if place.file.stat().st_mode & 0o077:
                raise Unsent("the file with the secret can be read by others")
            text = place.file.read_text("utf-8").strip()
        except OSError:
            text = ""
    if not text:
        raise Unsent("the secret is not there")
    return text
