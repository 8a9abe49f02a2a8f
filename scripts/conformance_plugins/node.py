"""Asks a node for names, in the dialect that it understands."""

import base64
import http.client
import json
import time

ABSENT = ("never existed", "expired", "unconfirmed")


class Absent(Exception):
    """The name is not registered, or not safe to use."""


class Unknown(Exception):
    """It cannot be known for now."""


class Refused(Exception):
    """The node does not take the credentials."""


class Client:
    def __init__(self, address, user, password):
        host, port = address.rsplit(":", 1)
        self.host, self.port = host, int(port)
        self.credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.is_electrum = False

    def value(self, key, isolation, deadline):
        """The value of a name, or one of the exceptions; TimeoutError: nothing was heard."""
        result = self._call("name_show", self.parameters(key, isolation), deadline)
        if "error" in result and "is not a valid Encoding" in result["error"]["message"]:
            self.is_electrum = True
            result = self._call("name_show", self.parameters(key, isolation), deadline)
        if "error" in result:
            raise self._meaning(result["error"], deadline)
        shown = result["result"]
        if shown.get("expired"):
            raise Absent("the name has expired")
        if shown.get("value_encoding") == "hex":
            return bytes.fromhex(shown["value"])
        return shown["value"].encode()

    def parameters(self, key, isolation):
        options = {"nameEncoding": "hex", "valueEncoding": "hex"}
        if isolation:
            options["streamID"] = isolation
        name = key.encode().hex()
        if self.is_electrum:
            return {"identifier": name, "options": options}
        return [name, options]

    def _meaning(self, error, deadline):
        code, message = error["code"], error["message"]
        if code != -4 or not any(word in message for word in ABSENT):
            return Unknown(f"the node says {code}: {message}")
        if "purportedly never" in message:
            info = self._call("getinfo", [], deadline)["result"]
            if info["blockchain_height"] != info["server_height"]:
                return Unknown("the node is still syncing")
        return Absent("the name is not registered, or not safe to use")

    def _call(self, method, params, deadline):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        patience = deadline - time.monotonic()
        if patience <= 0:
            raise TimeoutError
        connection = http.client.HTTPConnection(self.host, self.port, timeout=patience)
        try:
            headers = {"Authorization": "Basic " + self.credentials}
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            content = response.read()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise Unknown(f"the connection broke: {error}") from error
        finally:
            connection.close()
        if response.status in (401, 403):
            raise Refused("the node refused the credentials")
        return self._read(response.status, content)

    def _read(self, status, content):
        try:
            reply = json.loads(content)
            error = reply.get("error")
            if error:
                return {"error": {"code": int(error["code"]), "message": str(error["message"])}}
            return {"result": dict(reply["result"])}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Unknown(f"the node's reply (HTTP {status}) makes no sense") from error
