// The senders' own libraries judge requests, and make some. Topics as JSON on stdin, the same with verdicts on stdout.

import "@shopify/shopify-api/adapters/node";
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import https from "node:https";
import { EventEmitter } from "node:events";
import { ApiVersion, shopifyApi } from "@shopify/shopify-api";
import { sign as signGithub, verify as verifyGithub } from "@octokit/webhooks-methods";
import { verifyWebhook as verifyClerk } from "@clerk/backend/webhooks";
import { decodeWebhook } from "@kinde/webhooks";
import { WorkOS } from "@workos-inc/node";

const require = createRequire(import.meta.url);
const { Paddle } = require("@paddle/paddle-node-sdk");
const MessageValidator = require("sns-validator");
const { basicAuthValidator } = require("chargebee");
const Stripe = require("stripe");
const svix = require("svix");
const standard = require("standardwebhooks");
const { hmacValidator } = require("@adyen/api-library");
const { WebhooksHelper } = require("square");
const { Signature } = require("@hubspot/api-client");
const { CloudEvent, HTTP } = require("cloudevents");
const { isValidSlackRequest } = require("./node_modules/@slack/bolt/dist/receivers/verify-request.js");

const URL_OF_SOURCE = "https://router.example.com/webhooks/here";

// the clock stands where the request says
const RealDate = Date;
let now = 0;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [now]));
  }
  static now() {
    return now;
  }
};

const seconds = (at) => Math.floor(RealDate.parse(at) / 1000);

function standardHeaders(family, kind) {
  return (body, secret, at) => ({
    [`${family}-id`]: "msg_1",
    [`${family}-timestamp`]: String(seconds(at)),
    [`${family}-signature`]: new kind.Webhook(secret.replace("v1,", "")).sign("msg_1", new RealDate(at), body),
  });
}

const libraries = {
  "@octokit/webhooks-methods": {
    judge: ({ body, headers }, { secret }) => verifyGithub(secret, body, headers["x-hub-signature-256"]),
    make: async (body, secret) => ({ "x-hub-signature-256": await signGithub(secret, body) }),
  },
  "@shopify/shopify-api": {
    judge: async ({ body, headers }, { secret }) => {
      const api = shopifyApi({
        apiKey: "none",
        apiSecretKey: secret,
        hostName: "router.example.com",
        apiVersion: Object.values(ApiVersion)[0],
        isEmbeddedApp: false,
        logger: { log: () => {} },
      });
      const rawRequest = { method: "POST", url: "/webhooks/here", headers };
      return (await api.webhooks.validate({ rawBody: body, rawRequest, rawResponse: {} })).valid;
    },
  },
  "@clerk/backend": {
    judge: async ({ body, headers }, { secret }) => {
      await verifyClerk(new Request(URL_OF_SOURCE, { method: "POST", headers, body }), { signingSecret: secret });
      return true;
    },
  },
  "@paddle/paddle-node-sdk": {
    judge: ({ body, headers }, { secret }) =>
      new Paddle("none").webhooks.isSignatureValid(body, secret, headers["paddle-signature"]),
  },
  "@kinde/webhooks": {
    judge: async ({ body }, { pages }) => (await decodeWebhook(body, await keySet(pages.jwks))) !== null,
  },
  "sns-validator": {
    judge: ({ body }, { pages }) =>
      new Promise((resolve) => {
        https.get = fromPages(pages);
        new MessageValidator().validate(JSON.parse(body), (error) => resolve(!error));
      }),
  },
  chargebee: {
    judge: async ({ headers }, { secret }) => {
      const [user, ...password] = secret.split(":");
      await basicAuthValidator((u, p) => u === user && p === password.join(":"))(headers);
      return true;
    },
  },
  cloudevents: {
    judge: ({ body, headers }) => [HTTP.toEvent({ headers, body })].flat().every((event) => event.validate()),
    make: (body, _secret, _at, _preset, name) => {
      const message = HTTP[name.split(",")[0]](new CloudEvent(JSON.parse(body)));
      return { ...message.headers, body: message.body ?? "", event: JSON.parse(body) };
    },
  },
  stripe: {
    judge: ({ body, headers }, { secret }) =>
      Boolean(new Stripe("none").webhooks.constructEvent(body, headers["stripe-signature"], secret)),
    make: (payload, secret, at) => ({
      "stripe-signature": new Stripe("none").webhooks.generateTestHeaderString({ payload, secret, timestamp: seconds(at) }),
    }),
  },
  svix: {
    judge: ({ body, headers }, { secret }) => {
      new svix.Webhook(secret).verify(body, headers);
      return true;
    },
    make: standardHeaders("svix", svix),
  },
  standardwebhooks: {
    judge: ({ body, headers }, { secret }) => {
      new standard.Webhook(secret.replace("v1,", "")).verify(body, headers);
      return true;
    },
    make: standardHeaders("webhook", standard),
  },
  "@adyen/api-library": {
    judge: ({ body, headers }, { secret, preset }) => {
      const validator = new hmacValidator();
      if (preset === "adyen-platform") return validator.validateHMACSignature(secret, headers.hmacsignature, body);
      const items = JSON.parse(body).notificationItems.map((entry) => entry.NotificationRequestItem);
      return items.every((item) => validator.validateHMAC(item, secret));
    },
    make: (body, secret, _at, preset) => {
      const validator = new hmacValidator();
      if (preset === "adyen-platform") return { hmacsignature: validator.calculateHmac(body, secret) };
      const value = JSON.parse(body);
      for (const { NotificationRequestItem: item } of value.notificationItems) {
        item.additionalData = { hmacSignature: validator.calculateHmac(item, secret) };
      }
      return { body: JSON.stringify(value) };
    },
  },
  square: {
    judge: ({ body, headers }, { secret }) =>
      WebhooksHelper.verifySignature({
        requestBody: body,
        signatureHeader: headers["x-square-hmacsha256-signature"],
        signatureKey: secret,
        notificationUrl: URL_OF_SOURCE,
      }),
  },
  "@hubspot/api-client": {
    judge: ({ body, headers, method }, { secret }) =>
      Signature.isValid({
        method,
        signatureVersion: "v3",
        clientSecret: secret,
        requestBody: body,
        url: URL_OF_SOURCE,
        signature: headers["x-hubspot-signature-v3"],
        timestamp: headers["x-hubspot-request-timestamp"],
      }),
    make: (requestBody, clientSecret, at) => {
      const timestamp = String(RealDate.parse(at));
      const given = { clientSecret, requestBody, url: URL_OF_SOURCE, timestamp };
      const value = Signature.getSignature("POST", "v3", given);
      return { "x-hubspot-signature-v3": value, "x-hubspot-request-timestamp": timestamp };
    },
  },
  "@workos-inc/node": {
    judge: ({ body, headers }, { secret }) =>
      new WorkOS("sk_none").webhooks.verifyHeader({
        payload: JSON.parse(body),
        sigHeader: headers["workos-signature"],
        secret,
      }),
    make: async (body, secret, at) => {
      const stamp = String(RealDate.parse(at));
      const value = await new WorkOS("sk_none").webhooks.computeSignature(stamp, JSON.parse(body), secret);
      return { "workos-signature": `t=${stamp}, v1=${value}` };
    },
  },
  "@slack/bolt": {
    judge: ({ body, headers }, { secret }) => {
      const given = { ...headers, "x-slack-request-timestamp": Number(headers["x-slack-request-timestamp"]) };
      return isValidSlackRequest({ signingSecret: secret, body, headers: given });
    },
  },
};

// --- the network, as these libraries see it --------------------------------------------------------------------------

let server;

async function keySet(text) {
  server ??= createServer((_request, answer) => answer.end(text));
  if (!server.listening) await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

function fromPages(pages) {
  return (url, done) => {
    const answer = new EventEmitter();
    answer.statusCode = url in pages ? 200 : 404;
    setImmediate(() => {
      done(answer);
      answer.emit("data", Buffer.from(pages[url] ?? ""));
      answer.emit("end");
    });
    return new EventEmitter();
  };
}

// ---------------------------------------------------------------------------------------------------------------------

function version(name) {
  return JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url))).version;
}

async function judged(library, question, topic) {
  now = RealDate.parse(question.at);
  try {
    return (await library.judge(question, topic)) === true;
  } catch {
    return false;
  }
}

console.log = console.error;
const topics = JSON.parse(readFileSync(0, "utf8"));
for (const topic of topics) {
  const name = topic.library.replace("npm:", "");
  const library = libraries[name];
  topic.version = version(name);
  for (const question of topic.questions) {
    if (question.headers === null) {
      const made = await library.make(question.body, topic.secret, question.at, topic.preset, question.name);
      const { body, event, ...headers } = made;
      question.headers = headers;
      if (event) question.event = event;
      question.body = body ?? question.body;
    }
    question.accepted = await judged(library, question, topic);
  }
}
server?.close();
process.stdout.write(JSON.stringify(topics));
