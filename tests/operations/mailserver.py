"""A mail server on aiosmtpd that requires STARTTLS and a login: `python mailserver.py PORT CERTIFICATE KEY FILE`.
Appends each accepted mail to the file as a line of JSON."""

import email
import email.policy
import json
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, certificate, key, out = sys.argv[1:]


class Taking:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        mail = {
            "to": envelope.rcpt_tos,
            "subject": message["subject"],
            "text": message.get_content(),
            "tls": session.ssl is not None,
            "user": session.auth_data,
        }
        with open(out, "a") as file:
            file.write(json.dumps(mail) + "\n")
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"doorward", b"a-password-0123456789")
    return AuthResult(success=good, auth_data=data.login.decode())


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(certificate, key)
controller = Controller(
    Taking(), hostname="localhost", port=int(port), tls_context=context, require_starttls=True,
    auth_required=True, auth_require_tls=True, authenticator=authenticate,
)
controller.start()
while True:
    time.sleep(60)
