/** What the compiler must refuse. Each of these lines is an error, or `tsc` says that it is none. */
import { createClient, unwrap, type ItemOf, type Listing, type Problem, type Schemas } from "../src/client.js";

const client = createClient({ baseUrl: "" });
const { api } = client;

export async function refused(): Promise<void> {
  // @ts-expect-error: the path does not exist
  await api.GET("/api/v1/nowhere");
  // @ts-expect-error: the password is missing
  await api.POST("/api/v1/auth/login", { body: { email: "ann@example.com" } });
  // @ts-expect-error: a number
  await api.GET("/api/v1/users/{user_id}", { params: { path: { user_id: "1" } } });
  // @ts-expect-error: not a list
  client.pages("/api/v1/users/me");
  // @ts-expect-error: no such parameter
  client.pages("/api/v1/users/", { query: { pageSize: 3 } });
  // @ts-expect-error: the list may be empty
  (await client.pages("/api/v1/users/").next()).value.items[0].username;
  const me = await api.GET("/api/v1/users/me");
  // @ts-expect-error: the response may be an error
  me.data.username;
  // @ts-expect-error: users do not have this field
  (await unwrap(api.GET("/api/v1/users/me"))).hashed_password;
}

/** And what it must know. */
export const users: Listing = "/api/v1/users/";
export type User = Equal<ItemOf<"/api/v1/users/">, Schemas["User"]>;
export async function refusal(): Promise<Problem | undefined> {
  const { error } = await api.GET("/api/v1/users/me");
  return error;
}

type Equal<A, B extends A> = B;
