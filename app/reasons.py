"""Why there is no connection, in a few words: libraries wrap the reason, and each in other ones."""

import os
import ssl


def reason(error: BaseException) -> str:
    """Of a failed connection or request, without address and error number."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate is not accepted ({error.verify_message})"
        case ssl.SSLError():
            return f"TLS was not agreed on ({error.reason or error})"
        case TimeoutError() if not error.errno:
            return "no answer in time"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number)
        case OSError(strerror=str(said)):  # a name without an address has numbers of its own
            return said
    return str(error) or type(error).__name__
