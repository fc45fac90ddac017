// Borrows a floating license with fetch, as the API's documentation does; only Date and Authorization are added.

import { createHmac } from "node:crypto";

const env = process.env;
const date = new Date().toUTCString();
const signature = createHmac("sha256", env.FLOATLEASE_SHARED_KEY)
  .update(`licenseSpring\ndate: ${date}`)
  .digest("base64");

const headers = new Headers();
headers.append("Accept", "application/json");
headers.append("Content-Type", "application/json");
headers.append("Date", date);
headers.append(
  "Authorization",
  `algorithm="hmac-sha256", headers="date", signature="${signature}", apikey="${env.FLOATLEASE_API_KEY}"`,
);

const response = await fetch(`${env.FLOATLEASE_BASE_URL}/floating/borrow`, {
  method: "POST",
  headers,
  body: JSON.stringify({
    hardware_id: env.FLOATLEASE_HARDWARE_ID,
    product: env.FLOATLEASE_PRODUCT,
    license_key: env.FLOATLEASE_LICENSE_KEY,
    borrowed_until: null,
  }),
  redirect: "follow",
});
console.log(await response.text());
process.exitCode = response.status === 200 ? 0 : 1;
